"""The last release and this one side by side on one database, and what earlier ones wrote.

Three replicas of the last release behind the load balancer are replaced one by one, as an operator does it,
while tasks come and go. Workers of both releases and a deployment agent of the last one take part.
"""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.serving import NotReady, Process, SecureServer, Server

from e2e.test_replicas import SETTINGS, TESTS, Machine, agents_at, until
from stellwerk.database.migrate import known_migrations
from stellwerk.sdk import Client, NewTask
from support.earlier import NEIGHBOUR, RELEASES, Release, environment_of, sources_of
from support.replicas import COUNT, LIMIT_S, START_LIMIT_S, Replicas

pytestmark = [pytest.mark.timeout(400)]

HANDS = ["hands"]
"""What workers have, and the deployment agent has not: a task that asks for nothing goes to any agent."""


class Load:
    """Submits tasks through the balancer until it is ended; keeps what was acknowledged."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.acknowledged: list[str] = []
        self.ending = threading.Event()
        self.fault: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.ending.set()
        self.thread.join(LIMIT_S)

    def _run(self) -> None:
        try:
            with Client(self.url, retry_s=60) as client:
                while not self.ending.wait(0.05):
                    some = client.submit_many(
                        NewTask(task_type="echo", data={"say": n}, requires={"capabilities": HANDS})
                        for n in range(5)
                    )
                    self.acknowledged += [one.task_id for one in some]
        except BaseException as fault:
            self.fault = fault

    def waits_for(self, more: int) -> None:
        """Wait until so many more were acknowledged."""
        wanted = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= wanted or self.fault, f"{more} more tasks to be taken")
        assert self.fault is None, self.fault


def begin_worker(replicas: Replicas, name: str, sources: Path | None) -> Process:
    """Start a worker of the SDK that the sources have at the balancer; None: of this release."""
    program = str(Path(sys.executable).parent / "stellwerk")
    command = [program, "worker", "e2e.worker_functions:app", "--server", replicas.url, "--agent-id", name]
    first = [str(sources)] if sources else [*filter(None, [os.environ.get("PYTHONPATH")])]
    paths = os.pathsep.join([*first, str(TESTS)])
    environment = {**os.environ, "WORK_FOLDER": str(replicas.folder), "PYTHONPATH": paths}
    worker = Process(
        [*command, "--concurrency", "8", "--capability", *HANDS],
        replicas.folder / f"{name}.log",
        environment=environment,
    )
    until(lambda: name in agents_at(replicas, None) or not worker.alive(), f"{name} to join")
    assert worker.alive(), worker.log_end()
    return worker


@pytest.fixture
def replicas(tmp_path: Path, new_database: Callable[[], str]) -> Iterator[Replicas]:
    """Three replicas of the last release."""
    earlier = environment_of(sources_of(NEIGHBOUR, tmp_path / "earlier"))
    # Long enough to come back over the balancer on a crowded machine.
    settings = {**SETTINGS, "work__reconnect_grace_s": 60, "work__lease_s": 60}
    running = Replicas(tmp_path, new_database(), **settings)
    for server in running.servers:
        server.environment = earlier
    try:
        yield running.start()
    finally:
        running.close()


@pytest.mark.slow
@pytest.mark.postgres
def test_replicas_are_upgraded_one_by_one_under_load_and_nothing_is_lost_or_done_twice(
    replicas: Replicas,
) -> None:
    earlier = replicas.folder / "earlier" / "src"
    workers = [begin_worker(replicas, "of-the-last", earlier), begin_worker(replicas, "of-this", None)]
    machine = Machine(replicas, environment_of(earlier))
    try:
        until(machine.online, "the agent to join")
        with Client(replicas.url, retry_s=60) as client, Load(replicas.url) as load:
            slow = client.submit("slow", capabilities=HANDS)
            for number, server in enumerate(replicas.servers):
                load.waits_for(25)
                assert server.stop() == 0, server.running.log_end()
                load.waits_for(10)
                server.environment = None
                server.start(START_LIMIT_S)
                side_by_side(replicas, number)
                machine.check()
            load.waits_for(25)
            (replicas.folder / "open").touch()
            through = client.wait(slow.task_id, timeout_s=LIMIT_S)
            # What ran before the upgrade ran on through all of it.
            assert (through.state, through.attempt) == ("succeeded", 1)
        assert load.fault is None, load.fault
        with Client(replicas.url, retry_s=60) as client:
            states = Counter(client.wait(one, timeout_s=LIMIT_S).state for one in load.acknowledged)
    finally:
        for process in (*workers, machine.process):
            process.kill()
    assert states == {"succeeded": len(load.acknowledged)}
    ends = Counter(task for task, kind in story(replicas, 0) if kind == "task.succeeded")
    assert {ends[task] for task in (slow.task_id, *load.acknowledged)} == {1}
    ledger = [json.loads(line) for line in (replicas.folder / "ledger").read_text().splitlines()]
    # A lease that a stopping server gave back may have begun; none is begun twice under one attempt.
    began = Counter((one["task_id"], one["attempt"]) for one in ledger if one["what"] == "begin")
    assert max(began.values()) == 1, began.most_common(3)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("release", RELEASES, ids=[one.name for one in RELEASES])
def test_earlier_server_that_starts_on_a_newer_database_is_told_so_and_changes_nothing(
    tmp_path: Path, new_database: Callable[[], str], release: Release
) -> None:
    sources, database = sources_of(release, tmp_path / "earlier"), new_database()
    newer, earlier = (SecureServer(tmp_path / name, database=database) for name in ("newer", "earlier-data"))
    newer.start(START_LIMIT_S)
    earlier.environment = environment_of(sources)
    try:
        missing = [one.number for one in known_migrations() if one.number not in migrations_of(sources)]
        if missing:
            with pytest.raises(NotReady, match="at least as new"):
                earlier.start(START_LIMIT_S)
        else:
            earlier.start(START_LIMIT_S)
        assert ask(newer, "GET", "/ready")["status"] == "ready"
    finally:
        newer.kill()
        earlier.kill()


@pytest.mark.parametrize("release", RELEASES, ids=[one.name for one in RELEASES])
def test_what_an_earlier_server_wrote_is_opened_and_goes_on(tmp_path: Path, release: Release) -> None:
    server = SecureServer(tmp_path / "data")
    server.environment = environment_of(sources_of(release, tmp_path / "earlier"))
    server.start(START_LIMIT_S)
    try:
        fill(server)
        before = look(server)
        assert server.stop() == 0, server.running.log_end()
        server.environment = None
        server.start(START_LIMIT_S)
        assert_keeps(look(server), before)
        goes_on(server)
    finally:
        server.kill()


def test_backup_of_the_last_release_is_restored_by_this_one(tmp_path: Path) -> None:
    earlier = environment_of(sources_of(NEIGHBOUR, tmp_path / "earlier"))
    server = SecureServer(tmp_path / "data")
    server.environment = earlier
    restored = SecureServer(tmp_path / "restored")
    server.start(START_LIMIT_S)
    try:
        fill(server)
        before = look(server)
        archive = tmp_path / "backup.tar"
        stellwerk("backup", archive, "--data-dir", server.data_dir, environment=earlier)
        server.kill()
        stellwerk("restore", archive, "--data-dir", restored.data_dir)
        restored.start(START_LIMIT_S)
        assert_keeps(look(restored), before)
        goes_on(restored)
    finally:
        server.kill()
        restored.kill()


def side_by_side(replicas: Replicas, upgraded: int) -> None:
    """Let what is submitted at each replica be seen, and read the same, at every other."""
    body = {"task_data": {"task_type": "nobody-takes-this"}, "requirements": {"capabilities": ["nobody"]}}
    for number in range(COUNT):
        task_id = replicas.call(number, "POST", "/tasks/submit", body)["task_id"]
        shown = [replicas.call(other, "GET", f"/tasks/{task_id}")["task"] for other in range(COUNT)]
        assert all(one == shown[0] for one in shown), (upgraded, number, shown)
        replicas.call((number + 1) % COUNT, "POST", f"/tasks/{task_id}/cancel", {})
        for other in range(COUNT):
            assert replicas.call(other, "GET", f"/tasks/{task_id}")["task"]["state"] == "cancelled"
    for number in range(upgraded + 1, COUNT):
        # What ran on goes on although the database has been migrated forward meanwhile.
        assert replicas.call(number, "GET", "/ready")["status"] == "ready", number


def story(replicas: Replicas, number: int) -> list[tuple[str, str]]:
    """Read what happened to all tasks, page by page."""
    found, after = [], ""
    while True:
        page = replicas.call(number, "GET", f"/events?kind=task.*&limit=1000{after}")
        found += [(event["task"], event["kind"]) for event in page["events"]]
        if not page["more"]:
            return found
        after = f"&after={page['next']}"


def migrations_of(sources: Path) -> set[int]:
    """Return the numbers of a release's migrations."""
    folder = sources / "stellwerk" / "database" / "migrations"
    return {int(file.name.partition("_")[0]) for file in folder.glob("*.sql")}


def stellwerk(*words: object, environment: dict[str, str] | None = None) -> None:
    """Run a command to its end."""
    program = str(Path(sys.executable).parent / "stellwerk")
    command = [program, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def ask(server: Server, method: str, path: str, body: object = None, **headers: str) -> Any:
    """Ask what must be answered well."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(server.url + path, data=data, method=method)
    asked.headers = {"Content-Type": "application/json", **headers}
    with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
        return json.loads(answer.read() or b"null")


WHAT_IS_KEPT = (
    "/agents/a1",
    "/tasks/t1/result",
    "/tasks/t2",
    "/events?kind=task.*&limit=100",
    "/keys",
    "/api/v1/admin/agent-tokens",
    "/api/v1/admin/secrets",
    "/api/v1/agents",
    "/api/v1/memory/list?scope=global",
    "/api/v1/traffic/tokens",
    "/api/v1/traffic/reasoners/hello/versions",
)


def fill(server: Server) -> None:
    """Leave something of every kind that all these releases have."""
    ask(server, "POST", "/agents/register", {"agent_id": "a1", "agent_type": "worker", "capabilities": ["x"]})
    for name in ("t1", "t2"):
        ask(server, "POST", "/tasks/submit", {"task_id": name, "task_data": {"n": name}})
    (held,) = ask(server, "POST", "/tasks/claim", {"agent_id": "a1", "limit": 1})["tasks"]
    assert held["task_id"] == "t1"
    ask(server, "POST", "/tasks/t1/complete", {"agent_id": "a1", "lease": held["lease"], "result": {"k": 1}})
    ask(server, "POST", "/keys", {"name": "k", "scopes": ["tasks:read"]})
    ask(server, "PUT", "/api/v1/admin/secrets/registry.password", {"value": "v"})
    token = ask(server, "POST", "/api/v1/admin/agent-tokens", {"name": "machine"})["token"]
    joining = {"name": "machine", "version": "1.0.0", "capabilities": ["docker"]}
    ask(server, "POST", "/api/v1/agents/register", joining, **{"X-Agent-Token": token})
    node = {"id": "hello", "base_url": "http://127.0.0.1:9", "version": "1.0.0", "reasoners": []}
    ask(server, "POST", "/api/v1/nodes/register", node)
    ask(server, "POST", "/api/v1/memory/set", {"scope": "global", "key": "some", "data": {"deep": [1]}})
    ask(server, "POST", "/api/v1/traffic/tokens", {"name": "t", "capabilities": ["versions:read"]})


def look(server: Server) -> dict[str, Any]:
    """Read what was left."""
    return {path: ask(server, "GET", path) for path in WHAT_IS_KEPT}


def assert_keeps(now: Any, before: Any, where: str = "") -> None:
    """Everything that was there is there; fields may have come to it, and what moves may have moved."""
    if isinstance(before, dict):
        for name, value in before.items():
            if name not in MOVES:
                assert name in now, (where, name)
                assert_keeps(now[name], value, f"{where}/{name}")
    elif isinstance(before, list):
        assert len(now) == len(before), (where, now)
        for number, value in enumerate(before):
            assert_keeps(now[number], value, f"{where}/{number}")
    else:
        assert now == before, (where, now, before)


MOVES = {"status", "health_status", "lifecycle_status", "last_heartbeat", "timestamp", "next", "lastSeen"}
"""What time alone changes."""


def goes_on(server: Server) -> None:
    """Finish what an earlier one began."""
    ask(server, "POST", "/agents/a1/heartbeat", {"status": "active"})
    (held,) = ask(server, "POST", "/tasks/claim", {"agent_id": "a1", "limit": 1})["tasks"]
    assert held["task_id"] == "t2"
    ask(server, "POST", "/tasks/t2/complete", {"agent_id": "a1", "lease": held["lease"], "result": 2})
    assert ask(server, "GET", "/tasks/t2/result")["result"] == 2
