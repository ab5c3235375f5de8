"""Agents with the unmodified SDK from PyPI, as processes, against a real server."""

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bench.seeds import call
from bench.serving import Server

from e2e.published.environment import NotInstalled, sdk_python
from e2e.published.nodes import SdkNode
from support.talking import Answer, talk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300, func_only=True)]

ENDED = ("succeeded", "failed", "cancelled", "timeout")
DOCUMENTED = ["-X", "POST", "-d", '{"input": {"name": "ada"}}']


class Lab:
    """A server with two versions of one agent, and another agent that calls it."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder / "data")
        self.first = SdkNode(self.server, folder, "1.0.0")
        self.second = SdkNode(self.server, folder, "2.0.0")
        self.other = SdkNode(self.server, folder, node_id="caller")

    def start(self) -> None:
        """Start everything; the first version registers first."""
        self.server.start()
        self.first.start()
        self.other.start()
        self.first.wait()
        self.second.start().wait()
        self.other.wait()

    @property
    def nodes(self) -> tuple[SdkNode, ...]:
        return self.first, self.second, self.other

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()
        if self.server.process is not None:
            self.server.stop()

    def execute(self, function: str, headers: dict[str, str] | None = None, **given: Any) -> Answer:
        """Call a function of `hello` and wait."""
        return self.call(f"hello.{function}", headers, **given)

    def call(self, callee: str, headers: dict[str, str] | None = None, **given: Any) -> Answer:
        return talk(self.server.url, "POST", f"/api/v1/execute/{callee}", {"input": given}, headers)

    def begin(self, callee: str, headers: dict[str, str] | None = None, **given: Any) -> str:
        """Have a function called; return the execution's id."""
        path = f"/api/v1/execute/async/{callee}"
        status, body, answered = talk(self.server.url, "POST", path, {"input": given}, headers)
        assert (status, body["status"]) == (202, "queued"), body
        assert answered["x-execution-id"] == body["execution_id"]
        return str(body["execution_id"])

    def ended(self, execution_id: str, limit_s: float = 30.0) -> dict[str, Any]:
        """Wait for the end of an execution."""
        until = time.monotonic() + limit_s
        while True:
            status, body, headers = talk(self.server.url, "GET", f"/api/v1/executions/{execution_id}")
            if body["status"] in ENDED:
                assert headers["x-routed-version"] == body["version"], body
                found: dict[str, Any] = body
                return found
            assert time.monotonic() < until, (status, body)
            time.sleep(0.02)

    def weigh(self, **weights: int) -> None:
        """Set weights: `v1`, `v2`."""
        for name, weight in weights.items():
            version = f"{name[1]}.0.0"
            path = f"/api/v1/traffic/reasoners/hello/versions/{version}/weight"
            call(self.server, "PUT", path, {"weight": weight})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    try:
        sdk_python()
    except NotInstalled as reason:
        pytest.skip(f"the published SDK cannot be installed: {reason}")
    made = Lab(tmp_path_factory.mktemp("sdk"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def stable(lab: Lab) -> None:
    """Every test begins with all traffic on the first version, as the second is unset."""
    for node in lab.nodes:
        if node.process is None or not node.running.alive():
            node.start()
    for node in lab.nodes:
        node.wait()


def test_the_documents_curl_reaches_an_sdk_agent(lab: Lab) -> None:
    command = ["curl", "-s", *DOCUMENTED, f"{lab.server.url}/api/v1/execute/hello.greet"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    answer = json.loads(run.stdout)
    assert (answer["status"], answer["result"]["hello"]) == ("succeeded", "ada")
    assert answer.keys() >= {"execution_id", "run_id", "duration_ms", "finished_at"}


def test_version_execution_and_run_are_named_on_every_answer(lab: Lab) -> None:
    status, body, headers = lab.execute("greet", {"X-Run-ID": "run-7"}, name="ada")
    assert (status, headers["x-routed-version"], headers["x-run-id"]) == (200, "1.0.0", "run-7")
    assert headers["x-execution-id"] == body["execution_id"]
    status, body, headers = lab.execute("fail", why="broken")
    assert (status, headers["x-routed-version"], body["status"]) == (502, "1.0.0", "failed")
    assert "broken" in body["error_message"]
    shown = lab.ended(headers["x-execution-id"])
    assert (shown["status"], shown["version"]) == ("failed", "1.0.0")
    assert "broken" in shown["error"]


def test_what_the_agent_refuses_keeps_its_status(lab: Lab) -> None:
    status, body, headers = lab.execute("greet")
    assert (status, body["error_category"], body["status"]) == (422, "agent_error", "failed")
    assert body["error"].startswith("agent error (422)")
    assert body["error_details"] == {"detail": "Missing required field: name"}
    assert headers["x-routed-version"] == "1.0.0"


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ("list", [1, "two"]),
        ("text", "a text"),
        ("number", 2.5),
        ("nothing", None),
        ("object", {"a": {}}),
    ],
)
def test_results_of_any_shape_come_back(lab: Lab, of: str, value: Any) -> None:
    status, body, _ = lab.execute("shape", of=of)
    assert (status, body["result"]) == (200, value)
    assert lab.ended(lab.begin("hello.shape", of=of))["result"] == value


def test_skills_are_called_too(lab: Lab) -> None:
    assert lab.execute("upper", text="ada")[1]["result"] == "ADA"
    assert lab.ended(lab.begin("hello.upper", text="ada"))["result"] == "ADA"


def test_an_async_call_is_followed_by_its_id(lab: Lab) -> None:
    ids = [lab.begin("hello.greet", name=str(number)) for number in range(20)]
    results = [lab.ended(one)["result"]["hello"] for one in ids]
    assert results == [str(number) for number in range(20)]
    batch = call(lab.server, "POST", "/api/v1/executions/batch-status", {"execution_ids": [*ids, "none"]})
    assert {name: one["status"] for name, one in batch.items()} == dict.fromkeys(ids, "succeeded")


def test_agents_call_each_other_within_one_run(lab: Lab) -> None:
    status, body, _ = lab.call("caller.relay", {"X-Run-ID": "run-8"}, target="hello.greet", name="ada")
    assert status == 200, body
    assert body["result"]["relayed"]["hello"] == "ada"
    status, body, _ = lab.call("caller.relay", target="hello.nothing", name="ada")
    assert (status, body["error_category"]) == (400, "agent_error"), body


def test_memory_keeps_what_agents_set(lab: Lab) -> None:
    status, body, _ = lab.execute("remember", key="proof")
    assert status == 200, body
    assert body["result"] == {
        "missing": "none",
        "run": {"n": [1, None]},
        "all": "for all",
        "session": 7,
        "keys": ["proof"],
        "after": None,
        "gone": False,
    } | {"after": body["result"]["after"]}


def test_agents_hear_of_changes_of_memory(lab: Lab) -> None:
    until = time.monotonic() + 20
    while True:
        talk(lab.server.url, "POST", "/api/v1/memory/set", {"key": "watched.a", "data": {"n": 1}})
        seen = lab.execute("changes")[1]["result"]
        if seen:
            break
        assert time.monotonic() < until
        time.sleep(0.1)
    assert seen[0] == ["watched.a", "set", {"n": 1}]


def test_notes_of_agents_are_events(lab: Lab) -> None:
    _, body, _ = lab.execute("leave_note", text="remember the milk")
    until = time.monotonic() + 10
    page: dict[str, Any] = {"events": [], "next": "", "more": False}
    while not page["events"]:
        assert time.monotonic() < until
        after = f"&after={page['next']}" if page["next"] else ""
        page = call(lab.server, "GET", f"/events?kind=execution.note&task={body['execution_id']}{after}")
        time.sleep(0.0 if page["more"] else 0.05)
    assert page["events"][0]["data"]["message"] == "remember the milk"


def test_a_thousand_calls_at_900_to_100_are_exactly_that(lab: Lab) -> None:
    lab.weigh(v1=900, v2=100)
    try:
        in_turn = [lab.execute("greet", name="a")[2]["x-routed-version"] for _ in range(40)]
        for start in range(31):
            assert in_turn[start : start + 10].count("2.0.0") == 1, in_turn
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: lab.execute("greet", name="a"), range(1_000)))
    finally:
        lab.weigh(v2=0)
    assert {status for status, _, _ in answers} == {200}
    assert Counter(headers["x-routed-version"] for _, _, headers in answers) == {"1.0.0": 900, "2.0.0": 100}
    for _, body, headers in answers:
        assert body["result"]["version"] == headers["x-routed-version"]


def test_our_kill_in_the_middle_loses_no_agent_no_weight_and_no_execution(lab: Lab) -> None:
    lab.weigh(v1=500, v2=500)
    try:
        ids = [lab.begin("hello.sleep", seconds=4.0) for _ in range(6)]
        until = time.monotonic() + 10
        while any(lab_status(lab, one) != "running" for one in ids):
            assert time.monotonic() < until
            time.sleep(0.05)
        lab.server.running.kill()
        lab.server.start()
        # At once: nobody has to register again.
        answers = [lab.execute("greet", name="ada") for _ in range(10)]
        assert Counter(headers["x-routed-version"] for _, _, headers in answers) == {"1.0.0": 5, "2.0.0": 5}
        assert [lab.ended(one)["status"] for one in ids] == ["succeeded"] * 6
    finally:
        lab.weigh(v1=900, v2=0)


def test_a_version_that_is_told_to_end_finishes_what_it_has_and_gets_nothing_new(lab: Lab) -> None:
    lab.weigh(v1=500, v2=500)
    try:
        with ThreadPoolExecutor(4) as pool:
            under_way = [pool.submit(lab.execute, "sleep", seconds=2.0) for _ in range(4)]
            time.sleep(1.0)
            lab.second.running.popen.send_signal(signal.SIGTERM)
            lab.second.wait("inactive", 10)
            answers = [lab.execute("greet", name="ada") for _ in range(20)]
            ended = [one.result() for one in under_way]
        assert {headers["x-routed-version"] for _, _, headers in answers} == {"1.0.0"}
        assert {status for status, _, _ in answers} == {200}
        assert [status for status, _, _ in ended] == [200] * 4, ended
        assert Counter(body["result"]["version"] for _, body, _ in ended) == {"1.0.0": 2, "2.0.0": 2}
        assert lab.first.health() == "active"
        lab.second.running.popen.wait(40)
        lab.second.start().wait()
        seen = {lab.execute("greet", name="ada")[2]["x-routed-version"] for _ in range(4)}
        assert seen == {"1.0.0", "2.0.0"}, "the weight outlives the process"
    finally:
        lab.weigh(v1=900, v2=0)


def test_a_version_that_is_killed_costs_no_idempotent_call(lab: Lab) -> None:
    lab.weigh(v1=500, v2=500)
    try:
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(lab.execute, "greet", name="ada") for _ in range(300)]
            while sum(one.done() for one in calls) < 75:
                time.sleep(0.005)
            lab.second.running.kill()
            statuses = Counter(one.result()[0] for one in calls)
        assert statuses == {200: 300}
        assert lab.first.health() == "active"
        lab.second.wait("inactive", 30)
        assert lab.execute("greet", {"X-Version": "2.0.0"}, name="ada")[0] == 503
    finally:
        lab.weigh(v1=900, v2=0)


def test_a_version_that_is_off_is_reached_by_its_name_only(lab: Lab) -> None:
    lab.weigh(v2=0)
    assert {lab.execute("greet", name="a")[2]["x-routed-version"] for _ in range(5)} == {"1.0.0"}
    pinned = lab.execute("greet", {"X-Version": "2.0.0"}, name="a")
    assert (pinned[0], pinned[2]["x-routed-version"]) == (200, "2.0.0")
    assert lab.execute("greet", {"X-Version": "3.0.0"}, name="a")[0] == 404
    lab.weigh(v1=0)
    try:
        status, body, _ = lab.execute("greet", name="a")
        assert (status, body["error"]) == (503, "node_unavailable")
    finally:
        lab.weigh(v1=900)


def test_an_execution_that_is_cancelled_stops_in_its_agent(lab: Lab) -> None:
    one = lab.begin("hello.sleep", seconds=60.0)
    until = time.monotonic() + 10
    while lab_status(lab, one) != "running":
        assert time.monotonic() < until
        time.sleep(0.02)
    status, _, _ = talk(lab.server.url, "POST", f"/api/v1/executions/{one}/cancel", {"reason": "enough"})
    assert status == 200
    assert lab.ended(one, 15)["status"] == "cancelled"


def lab_status(lab: Lab, execution_id: str) -> str:
    status: str = call(lab.server, "GET", f"/api/v1/executions/{execution_id}")["status"]
    return status


def test_an_agent_shows_one_of_our_keys_where_keys_are_needed(lab: Lab, tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    scopes = ["fleet:write", "fleet:read", "tasks:submit", "tasks:read"]
    key = call(server, "POST", "/keys", {"name": "agent", "scopes": scopes})["key"]
    server.stop()
    server.settings["access.open_loopback"] = "false"
    server.start()
    node = SdkNode(server, tmp_path, key=key).start()
    try:
        node.wait()
        path, body = "/api/v1/execute/hello.remember", {"input": {"key": "k"}}
        assert talk(server.url, "POST", path, body)[0] == 401
        status, answer, _ = talk(server.url, "POST", path, body, {"X-API-Key": key})
        assert (status, answer["result"]["run"]) == (200, {"n": [1, None]}), answer
        status, answer, _ = talk(
            server.url,
            "POST",
            "/api/v1/execute/hello.relay",
            {"input": {"target": "hello.greet", "name": "ada"}},
            {"Authorization": f"Bearer {key}"},
        )
        assert (status, answer["result"]["relayed"]["hello"]) == (200, "ada"), answer
    finally:
        node.running.kill()
        server.stop()
