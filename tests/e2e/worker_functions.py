"""Functions that real worker processes run in tests; each notes in a ledger that it began and how it ended.

`WORK_FOLDER` holds the ledger and the gates: `slow` goes on until the file `open` is there.
"""

import json
import os
from pathlib import Path
from typing import Any

from stellwerk.sdk import Context, PermanentFailure, Worker

app = Worker(concurrency=4)
folder = Path(os.environ.get("WORK_FOLDER", "."))


def note(context: Context, what: str) -> None:
    entry = {"what": what, "task_id": context.task_id, "attempt": context.attempt, "pid": os.getpid()}
    with (folder / "ledger").open("a") as ledger:
        ledger.write(json.dumps(entry) + "\n")


@app.task("echo")
def echo(context: Context) -> Any:
    note(context, "begin")
    return {"echo": context.data.get("say"), "pid": os.getpid()}


@app.task("slow")
def slow(context: Context) -> str:
    note(context, "begin")
    context.progress(0.25, "waiting at the gate")
    context.log("at the gate")
    context.log("still there", level="warning")
    while not (folder / "open").exists():
        if context.wait_cancelled(0.02):
            note(context, "cancelled")
            context.raise_if_cancelled()
    note(context, "end")
    return "through"


@app.task("broken")
async def broken(context: Context) -> None:
    note(context, "begin")
    raise ValueError("no good")


@app.task("hopeless")
async def hopeless(context: Context) -> None:
    note(context, "begin")
    raise PermanentFailure({"code": 7})
