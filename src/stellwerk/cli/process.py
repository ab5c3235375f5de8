"""The server as a process: its log, its signals, its ready file, its exit status."""

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from stellwerk import __version__
from stellwerk.app import CannotStart, ControlPlane
from stellwerk.app.extensions import Extensions
from stellwerk.logs import configure_logs
from stellwerk.settings import Settings

SWITCH_INTERVAL_S = 0.0005
"""How long the event loop may keep the interpreter from the database's threads. With Python's 5 ms they wait
for their turn longer than for the disk: 3,842 instead of 3,426 submissions a second, and a shorter tail."""
YOUNG_OBJECTS = 20_000
"""Objects made between two collections. With Python's 700 a busy server collects a hundred times a second, a
tenth of its time, and finds nothing: what a request makes is freed by reference counts."""

log = structlog.get_logger(__name__)


def run(settings: Settings, ready_file: Path | None = None, *, extensions: Extensions | None = None) -> int:
    """Run the control plane until SIGTERM or SIGINT; return the exit status of the process.

    `extensions` are those of the program that runs it.
    """
    configure_logs(settings.log)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    try:
        uvloop.run(_serve(settings, ready_file, extensions))
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _serve(settings: Settings, ready_file: Path | None, extensions: Extensions | None) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            # A second signal: nothing acknowledged is lost by ending here and now.
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    plane = ControlPlane(settings, extensions=extensions)
    await plane.start()
    # What exists now stays: no later collection needs to look at it.
    gc.collect()
    gc.freeze()
    log.info("ready", version=__version__, **plane.listeners)
    if ready_file is not None:
        _write_ready(ready_file, plane.listeners)
    await stopping.wait()
    log.info("stopping")
    await plane.stop()


def _write_ready(path: Path, listeners: dict[str, str]) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps({"url": listeners["main"], "listeners": listeners}) + "\n")
    temporary.replace(path)
