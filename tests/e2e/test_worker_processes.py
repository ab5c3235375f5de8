"""Real workers, started from the command line, against a real server."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.serving import Process, Server

from stellwerk.sdk import AgentQuery, Client, Conflict, NewTask, NotFound, TaskNotSucceeded, WaitTimeout

TESTS = Path(__file__).parent.parent
LIMIT_S = 40.0
SETTINGS: dict[str, object] = {
    "work.reconnect_grace_s": 1,
    "work.retry_base_s": 0.05,
    "work.sweep_s": 0.1,
    "work.flush_s": 0.1,
}


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and return it."""
    give_up_at = time.monotonic() + LIMIT_S
    while not (seen := holds()):
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        time.sleep(0.01)
    return seen


class Plant:
    """A server, its workers, and a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(folder / "data", settings=SETTINGS).start()
        self.client = Client(self.server.url)
        self.workers: list[Process] = []

    def worker(self, name: str, *options: str) -> Process:
        """Start a worker and wait until it has joined."""
        program = str(Path(sys.executable).parent / "stellwerk")
        command = [
            program,
            "worker",
            "e2e.worker_functions:app",
            "--server",
            self.server.url,
            "--agent-id",
            name,
        ]
        environment = os.environ | {"WORK_FOLDER": str(self.folder), "PYTHONPATH": str(TESTS)}
        process = Process([*command, *options], self.folder / f"{name}.log", environment=environment)
        self.workers.append(process)
        until(lambda: name in self.joined() or not process.alive(), f"{name} to join")
        assert process.alive(), process.log_end()
        return process

    def joined(self) -> set[str]:
        return {agent.agent_id for agent in self.client.agents(AgentQuery(status="active"))}

    def ledger(self, task_id: str | None = None) -> list[tuple[str, int]]:
        """Return what functions noted: what, and at which attempt."""
        path = self.folder / "ledger"
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines]
        return [(entry["what"], entry["attempt"]) for entry in entries if task_id in (None, entry["task_id"])]

    def begun(self, task_id: str) -> None:
        until(lambda: self.ledger(task_id), f"{task_id} to begin")

    def running(self, task_id: str) -> None:
        self.begun(task_id)
        until(lambda: self.client.get(task_id).state == "running", f"{task_id} to be seen running")

    def open_gate(self) -> None:
        (self.folder / "open").touch()

    def close(self) -> None:
        self.client.close()
        for worker in self.workers:
            worker.kill()
        self.server.kill()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    opened = Plant(tmp_path)
    yield opened
    opened.close()


def test_workers_get_only_what_they_match_and_the_rest_waits(plant: Plant) -> None:
    plant.worker("texts", "--capability", "text", "--label", "zone=a")
    plant.worker("maths", "--capability", "math", "--label", "zone=b")
    client = plant.client
    wanted: list[tuple[dict[str, Any], str]] = [
        ({"capabilities": ["text"]}, "texts"),
        ({"capabilities": ["math"]}, "maths"),
        ({"labels": {"zone": "b"}}, "maths"),
        ({"agent": "texts"}, "texts"),
        ({"services": ["echo"], "labels": {"zone": "a"}}, "texts"),
    ]
    lonely = client.submit("echo", {"say": "later"}, capabilities=["gpu"])
    for requires, agent in wanted * 5:
        task = client.wait(client.submit("echo", requires=requires).task_id, timeout_s=LIMIT_S)
        assert (task.state, task.assigned_agent) == ("succeeded", agent)
    assert client.get(lonely.task_id).state == "queued"
    plant.worker("pictures", "--capability", "gpu")
    assert client.result(lonely.task_id, timeout_s=LIMIT_S)["echo"] == "later"
    assert client.get(lonely.task_id).assigned_agent == "pictures"


@pytest.mark.parametrize("delivery", ["websocket", "claim"])
def test_progress_logs_and_the_story_are_seen(plant: Plant, delivery: str) -> None:
    plant.worker("w1", "--delivery", delivery)
    client = plant.client
    task_id = client.submit("slow").task_id
    until(lambda: client.get(task_id).progress == 0.25, "progress")
    lines = until(lambda: client.logs(task_id), "log lines")
    assert [(line.seq, line.line, line.level) for line in lines] == [
        (1, "at the gate", "info"),
        (2, "still there", "warning"),
    ]
    assert client.logs(task_id, after=1) == lines[1:]
    running = client.get(task_id)
    assert (running.state, running.progress_note) == ("running", "waiting at the gate")
    with pytest.raises(WaitTimeout):
        client.wait(task_id, timeout_s=0.05)
    plant.open_gate()
    story = [event.kind for event in client.stream(task_id)]
    assert story == ["task.submitted", "task.leased", "task.started", "task.succeeded"]
    assert [event.kind for event in client.stream(task_id, kinds=["task.started"])] == ["task.started"]
    assert client.result(task_id) == "through"


@pytest.mark.parametrize("delivery", ["websocket", "claim"])
def test_running_task_is_cancelled(plant: Plant, delivery: str) -> None:
    plant.worker("w1", "--delivery", delivery)
    task_id = plant.client.submit("slow").task_id
    plant.running(task_id)
    assert plant.client.cancel(task_id) == "cancelling"
    with pytest.raises(TaskNotSucceeded) as ended:
        plant.client.result(task_id, timeout_s=LIMIT_S)
    assert ended.value.task.state == "cancelled"
    assert plant.ledger(task_id) == [("begin", 1), ("cancelled", 1)]


def test_task_that_runs_too_long_is_stopped(plant: Plant) -> None:
    plant.worker("w1")
    task_id = plant.client.submit("slow", timeout_s=0.3).task_id
    task = plant.client.wait(task_id, timeout_s=LIMIT_S)
    assert (task.state, task.reason) == ("failed", "timed_out")
    until(lambda: plant.ledger(task_id)[-1] == ("cancelled", 1), "the function to stop")


@pytest.mark.parametrize("delivery", ["websocket", "claim"])
def test_failures_are_retried_unless_they_are_permanent(plant: Plant, delivery: str) -> None:
    plant.worker("w1", "--delivery", delivery)
    client = plant.client
    dead = client.wait(client.submit("broken").task_id, timeout_s=LIMIT_S)
    assert (dead.state, dead.attempt, dead.error["message"]) == ("dead", 3, "no good")
    assert plant.ledger(dead.task_id) == [("begin", 1), ("begin", 2), ("begin", 3)]
    failed = client.wait(client.submit("hopeless").task_id, timeout_s=LIMIT_S)
    assert (failed.state, failed.attempt, failed.error) == ("failed", 1, {"code": 7})
    assert client.requeue(dead.task_id) == "queued"
    until(lambda: len(plant.ledger(dead.task_id)) == 6, "the attempts after the requeue")


def test_killed_workers_repeatable_task_is_done_by_another(plant: Plant) -> None:
    victim = plant.worker("victim")
    task_id = plant.client.submit("slow").task_id
    plant.running(task_id)
    plant.worker("heir")
    victim.kill()
    until(lambda: len(plant.ledger(task_id)) == 2, "the second attempt")
    plant.open_gate()
    task = plant.client.wait(task_id, timeout_s=LIMIT_S)
    assert (task.state, task.attempt, task.assigned_agent) == ("succeeded", 2, "heir")
    assert plant.ledger(task_id) == [("begin", 1), ("begin", 2), ("end", 2)]


def test_killed_workers_non_repeatable_task_is_lost_and_not_repeated(plant: Plant) -> None:
    victim = plant.worker("victim")
    task_id = plant.client.submit("slow", repeatable=False).task_id
    plant.running(task_id)
    plant.worker("heir")
    victim.kill()
    task = plant.client.wait(task_id, timeout_s=LIMIT_S)
    assert (task.state, task.reason) == ("failed", "lost")
    plant.open_gate()
    assert plant.client.result(plant.client.submit("echo").task_id, timeout_s=LIMIT_S)
    assert plant.ledger(task_id) == [("begin", 1)]


def test_worker_that_comes_back_under_its_name_is_given_the_task_again(plant: Plant) -> None:
    plant.worker("w1").kill()
    again = plant.worker("w1")
    task_id = plant.client.submit("slow").task_id
    plant.running(task_id)
    again.kill()
    plant.worker("w1")
    until(lambda: len(plant.ledger(task_id)) == 2, "the second run")
    plant.open_gate()
    assert plant.client.result(task_id, timeout_s=LIMIT_S) == "through"


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("delivery", ["websocket", "claim"])
def test_server_killed_in_mid_task_gets_the_result_once(
    plant: Plant, repeatable: bool, delivery: str
) -> None:
    plant.worker("w1", "--delivery", delivery)
    task_id = plant.client.submit("slow", repeatable=repeatable).task_id
    plant.running(task_id)
    plant.server.kill()
    plant.open_gate()
    until(lambda: len(plant.ledger(task_id)) == 2, "the function to end")
    plant.server.start()
    task = plant.client.wait(task_id, timeout_s=LIMIT_S)
    assert (task.state, task.attempt, task.result) == ("succeeded", 1, "through")
    assert plant.ledger(task_id) == [("begin", 1), ("end", 1)]
    # The worker is as good as before.
    assert plant.client.result(plant.client.submit("echo").task_id, timeout_s=LIMIT_S)


def test_gracefully_restarted_server_keeps_worker_and_task(plant: Plant) -> None:
    plant.worker("w1")
    task_id = plant.client.submit("slow").task_id
    plant.running(task_id)
    assert plant.server.stop() == 0
    plant.server.start()
    plant.open_gate()
    task = plant.client.wait(task_id, timeout_s=LIMIT_S)
    assert (task.state, task.attempt) == ("succeeded", 1)
    assert plant.ledger(task_id) == [("begin", 1), ("end", 1)]


@pytest.mark.parametrize("delivery", ["websocket", "claim"])
def test_terminated_worker_finishes_what_it_has_and_takes_nothing_more(plant: Plant, delivery: str) -> None:
    worker = plant.worker("w1", "--delivery", delivery)
    task_id = plant.client.submit("slow").task_id
    plant.running(task_id)
    worker.popen.send_signal(signal.SIGTERM)
    until(lambda: plant.joined() == set(), "the worker to stop taking")
    later = plant.client.submit("echo").task_id
    plant.open_gate()
    assert worker.popen.wait(LIMIT_S) == 0
    assert plant.client.get(task_id).state == "succeeded"
    assert plant.client.get(later).state == "queued"
    plant.worker("w1")
    assert plant.client.result(later, timeout_s=LIMIT_S)


def test_terminated_worker_gives_back_what_does_not_end(plant: Plant) -> None:
    worker = plant.worker("w1", "--drain", "0.1")
    repeatable = plant.client.submit("slow").task_id
    single = plant.client.submit("slow", repeatable=False).task_id
    plant.running(repeatable)
    plant.running(single)
    assert worker.stop() == 0
    assert (plant.client.get(repeatable).state, plant.client.get(single).state) == ("queued", "failed")
    assert "stopped" in str(plant.client.get(single).error)


def test_many_tasks_over_two_workers_are_each_done_once(plant: Plant) -> None:
    plant.worker("w1", "--concurrency", "32")
    plant.worker("w2", "--concurrency", "32")
    taken = plant.client.submit_many(NewTask(task_type="echo", data={"say": n}) for n in range(500))
    results = [plant.client.result(each.task_id, timeout_s=LIMIT_S) for each in taken]
    assert [result["echo"] for result in results] == list(range(500))
    assert len({result["pid"] for result in results}) == 2
    assert len(plant.ledger()) == 500


def test_client_submits_once_lists_and_is_refused(plant: Plant) -> None:
    client = plant.client
    first = client.submit("echo", {"say": 1}, idempotency_key="k1")
    again = client.submit("echo", {"say": 1}, idempotency_key="k1")
    assert (again.task_id, first.duplicate, again.duplicate) == (first.task_id, False, True)
    with pytest.raises(Conflict):
        client.submit("echo", {"say": 2}, idempotency_key="k1")
    own = client.submit("echo", task_id="my-own", priority="urgent", delay_s=3600.0)
    assert (own.task_id, client.get("my-own").priority) == ("my-own", "urgent")
    with pytest.raises(NotFound):
        client.get("nothing")
    assert client.cancel("my-own") == "cancelled"
    for _ in range(5):
        client.submit("echo")
    page = client.list(state="queued", limit=4)
    rest = client.list(state="queued", limit=4, cursor=page.next_cursor)
    assert (len(page.tasks), len(rest.tasks), rest.next_cursor) == (4, 2, None)
    assert client.status().queue_sizes["normal"] == 6
