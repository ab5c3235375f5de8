"""Puts a server into the state that a case needs: agents through its API, waiting tasks into its file."""

import os
import sqlite3
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.load import LoadPlan, request
from bench.measure import HOST, accepted, run_load
from bench.serving import Server

NOBODY = "nobody-has-this"
"""A capability that no agent of the bench announces: tasks that need it wait."""

CLONED = ("tasks", "task_payloads", "events")


def call(
    server: Server,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    within_s: float = 60.0,
) -> Any:
    """Send one request and return the decoded answer. Raise HTTPError for anything but 2xx."""
    data = None if body is None else msgspec.json.encode(body)
    asked = urllib.request.Request(server.url + path, data=data, method=method)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        asked.add_header(name, value)
    with urllib.request.urlopen(asked, timeout=within_s) as answer:
        return msgspec.json.decode(answer.read())


def agent(number: int) -> dict[str, object]:
    """Describe an agent: three capabilities, one of them shared by ten of each thousand, one service."""
    return {
        "agent_id": f"agent-{number:06d}",
        "agent_type": "worker",
        "capabilities": [
            "bench",
            f"tenth-{number % 10}",
            f"capability-{number % 1000 // 10}-{number // 1000}",
        ],
        "services": [f"service-{number % 20}"],
        "endpoints": {"http": f"http://localhost:{20_000 + number}"},
        "metadata": {"version": "1.0.0", "region": "eu"},
    }


def register(server: Server, numbers: Sequence[int]) -> None:
    """Register these agents through the API."""
    bodies = (msgspec.json.encode(agent(number)) for number in numbers)
    requests = [request("POST", "/agents/register", body) for body in bodies]
    accepted(run_load(LoadPlan(HOST, server.port, 16, requests, count=len(requests))))


def submission(capability: str | None = None, **task_data: object) -> bytes:
    """Build a submit request of the published example's size."""
    needs = {"capabilities": [capability]} if capability else {}
    data = {"task_type": "bench", "model": "llama2", "prompt": "test prompt", **task_data}
    body = {"task_data": data, "priority": "normal", "requirements": needs}
    return request("POST", "/tasks/submit", msgspec.json.encode(body))


def finished_tasks(server: Server, task_type: str) -> dict[str, int]:
    """Count the tasks of a type by state, row by row through the API."""
    counts: dict[str, int] = {}
    for task in every_task(server, f"task_type={task_type}"):
        counts[task["state"]] = counts.get(task["state"], 0) + 1
    return counts


def every_task(server: Server, query: str) -> Iterator[dict[str, Any]]:
    """Walk the list of tasks page by page."""
    cursor = ""
    while True:
        page = call(server, "GET", f"/tasks?{query}&limit=1000{cursor}")
        yield from page["tasks"]
        if not page["next_cursor"]:
            return
        cursor = f"&cursor={page['next_cursor']}"


def queue_up(server: Server, count: int) -> None:
    """Leave `count` more waiting tasks in the stopped server's file.

    One real task, submitted through the API, is cloned: so the rows, the journal and the counters are what
    the product itself would have written, whatever its schema is. The server ends up stopped.
    """
    submitted = submit_one(server)
    server.stop()
    connection = sqlite3.connect(server.data_dir / "stellwerk.db")
    connection.execute("pragma synchronous = off")
    with connection:
        for table in CLONED:
            clone_rows(connection, table, submitted, count)
        connection.execute("update counters set n = n * ?", (count + 1,))
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    write_through(server.data_dir / "stellwerk.db")


def submit_one(server: Server) -> str:
    body = {
        "task_data": {"task_type": "waiting", "model": "llama2", "prompt": "test prompt"},
        "requirements": {"capabilities": [NOBODY]},
    }
    answer = call(server, "POST", "/tasks/submit", body)
    return str(answer["task_id"])


def clone_rows(connection: sqlite3.Connection, table: str, task_id: str, count: int) -> None:
    columns = [row[1] for row in connection.execute(f"pragma table_info({table})") if row[1] != "seq"]
    chosen = [CHANGED.get((table, column), column) for column in columns]
    connection.execute(
        f"with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ?) "
        f"insert into {table} ({', '.join(columns)}) "
        f"select {', '.join(chosen)} from numbers, {table} where {table}.task_id = ? order by n",
        (count, task_id),
    )


CHANGED = {
    ("tasks", "task_id"): "printf('waiting-%08d', n)",
    ("tasks", "submitted_at"): "submitted_at + n",
    ("tasks", "rank_at"): "rank_at + n",
    ("task_payloads", "task_id"): "printf('waiting-%08d', n)",
    ("events", "task_id"): "printf('waiting-%08d', n)",
    ("events", "at"): "at + n",
}


def write_through(file: Path) -> None:
    """Write the file through, so that its pages do not flush into somebody's measurement."""
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def size_on_disk(server: Server) -> int:
    """Return the bytes of the database and its log."""
    return sum(file.stat().st_size for file in server.data_dir.glob("stellwerk.db*"))
