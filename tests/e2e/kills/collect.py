"""Reads the evidence: through the API while the server lives, from the tables when it is gone."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from bench.seeds import call, every_task
from bench.serving import Server

from e2e.kills.evidence import EventRow, Evidence, TaskRow
from e2e.kills.ledger import read_acknowledged
from e2e.kills.workers import Workers

TASKS = "select task_id, state, reason, attempt, repeatable, fence from tasks"
EVENTS = "select kind, task_id, data from events where task_id is not null order by {order}"
COUNTERS = "select name, sum(n) from counters group by name"

Tables = dict[str, Sequence[Sequence[Any]]]
STATEMENTS = {"tasks": TASKS, "events": EVENTS, "counters": COUNTERS}
ORDER_ON_SQLITE = "seq"
ORDER_ON_POSTGRES = "xid, seq"
"""The journal's order, in which readers resume: that of the transactions, not of the numbers."""


def gather(
    server: Server, database: str | None, workers: Workers, acknowledged_file: Path, stop: Callable[[], None]
) -> Evidence:
    """Read the living server, have it stopped, then read the tables."""
    shown = api_tasks(server)
    results = api_results(server, shown)
    events = api_events(server)
    stop()
    tables = read_tables(server.data_dir, database)
    return Evidence(
        acknowledged=read_acknowledged(acknowledged_file),
        executions=workers.executions(),
        api_tasks=shown,
        results=results,
        table_tasks=table_tasks(tables),
        api_events=events,
        table_events=table_events(tables),
        counters={name: int(n) for name, n in tables["counters"]},
    )


def api_tasks(server: Server) -> dict[str, TaskRow]:
    return {
        task["task_id"]: TaskRow(
            task["task_id"], task["state"], task["reason"], task["attempt"], task["repeatable"]
        )
        for task in every_task(server, "")
    }


def api_results(server: Server, task_ids: Iterable[str]) -> dict[str, str | None]:
    answers = {task_id: call(server, "GET", f"/tasks/{task_id}/result") for task_id in task_ids}
    return {task_id: nonce(answer["result"]) for task_id, answer in answers.items()}


def nonce(result: Any) -> str | None:
    return result["nonce"] if isinstance(result, dict) else None


def api_events(server: Server) -> list[EventRow]:
    events, after = [], ""
    while True:
        page = call(server, "GET", f"/events?kind=task.*&limit=1000{after}")
        events += [event_row(event["kind"], event["task"], event["data"]) for event in page["events"]]
        if not page["events"]:
            return events
        after = f"&after={page['next']}"


def event_row(kind: str, task_id: str, data: dict[str, Any]) -> EventRow:
    return EventRow(kind, task_id, data.get("fence"), data.get("attempt"), data.get("reason"))


def read_tables(data_dir: Path, database: str | None) -> Tables:
    """Read the tables behind the product's back."""
    if database is None:
        connection = sqlite3.connect(f"file:{data_dir / 'stellwerk.db'}?mode=ro", uri=True)
        try:
            return {
                name: connection.execute(text.format(order=ORDER_ON_SQLITE)).fetchall()
                for name, text in STATEMENTS.items()
            }
        finally:
            connection.close()
    return asyncio.run(read_postgres(database))


async def read_postgres(database: str) -> Tables:
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        return {
            name: [tuple(row) for row in await connection.fetch(text.format(order=ORDER_ON_POSTGRES))]
            for name, text in STATEMENTS.items()
        }
    finally:
        await connection.close()


def table_tasks(tables: Tables) -> dict[str, TaskRow]:
    return {row[0]: TaskRow(row[0], row[1], row[2], row[3], bool(row[4]), row[5]) for row in tables["tasks"]}


def table_events(tables: Tables) -> list[EventRow]:
    return [event_row(kind, task_id, msgspec.json.decode(data)) for kind, task_id, data in tables["events"]]
