"""Calls over HTTP: the published answers, agents that misbehave, reports of executions."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stellwerk.interfaces.nodes.telling import sign
from stellwerk.settings import Settings, TrafficSettings
from support.node import Node, beating, early, joined, promise
from support.plane import Answer, Caller, Plane, running_plane
from support.traffic import Receiver

GREET = "/api/v1/execute/hello.greet"
LATER = "/api/v1/execute/async/hello.greet"
NAME = {"input": {"name": "ada"}}
QUICK = TrafficSettings(answer_s=1.0, wait_s=2.0, answer_bytes=200_000, drain_grace_s=1.0, listen_grace_s=1.0)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    """A control plane with short patience."""
    async with running_plane(tmp_path / "data", replace(Settings(), traffic=QUICK)) as running:
        yield running


async def ended(api: Caller, execution_id: str, limit_s: float = 10.0) -> Any:
    """Wait for the end of an execution."""
    async with asyncio.timeout(limit_s):
        while True:
            shown = await api.get(f"/api/v1/executions/{execution_id}")
            if shown["status"] not in ("queued", "running"):
                return shown
            await asyncio.sleep(0.02)


async def told(api: Caller, execution_id: str) -> Any:
    """Wait until the webhook of an execution was called."""
    async with asyncio.timeout(10):
        while True:
            shown = await api.get(f"/api/v1/executions/{execution_id}")
            if shown["webhook_status"] not in ("waiting", "due"):
                return shown
            await asyncio.sleep(0.02)


async def under_way(node: Node) -> str:
    """Wait for the next call to arrive; return its id."""
    return await asyncio.wait_for(node.arrived.get(), 10)


async def hang(node: Node, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
    """Promise, and report nothing."""
    return web.json_response({"status": "processing"}, status=202)


@pytest.mark.parametrize(
    "handle", [None, promise, early], ids=["inline", "promised", "reported before the 202"]
)
async def test_a_call_brings_the_result_however_the_agent_answers(api: Caller, handle: Any) -> None:
    node = Node(api, handle=handle)
    async with joined(node):
        sent = {
            "X-Run-ID": "run-1",
            "X-Session-ID": "s-1",
            "X-Execution-ID": "exec_parent",
            "traceparent": "00-1",
        }
        answer = await api.call("POST", GREET, NAME, headers=sent)
    assert answer.status == 200, answer
    assert answer.body["result"]["hello"] == "ada"
    assert (answer.body["status"], answer.body["run_id"], answer.body["version"]) == (
        "succeeded",
        "run-1",
        "1.0.0",
    )
    assert answer.headers["x-routed-version"] == "1.0.0"
    assert answer.headers["x-run-id"] == "run-1"
    own = answer.headers["x-execution-id"]
    assert own == answer.body["execution_id"] != "exec_parent"
    name, given, headers = node.calls[0]
    assert (name, given) == ("greet", {"name": "ada"})
    assert (headers["X-Execution-ID"], headers["X-Run-ID"], headers["X-Workflow-ID"]) == (
        own,
        "run-1",
        "run-1",
    )
    assert (headers["X-Parent-Execution-ID"], headers["X-Session-ID"]) == ("exec_parent", "s-1")
    assert headers["traceparent"] == "00-1"
    shown = await api.get(f"/api/v1/executions/{own}")
    assert (shown["status"], shown["version"], shown["instance_id"]) == ("succeeded", "1.0.0", node.instance)
    assert shown["parent_execution_id"] == "exec_parent"


async def test_an_async_call_is_taken_and_followed(api: Caller) -> None:
    async with joined(Node(api, handle=promise)):
        taken = await api.call("POST", LATER, NAME)
        assert taken.status == 202
        assert taken.body["status"] == "queued"
        assert taken.headers["x-routed-version"] == "1.0.0"
        assert taken.body["target"] == "hello.greet"
        assert taken.body["type"] == "reasoner"
        assert taken.body["workflow_id"] == taken.body["run_id"] == taken.headers["x-run-id"]
        assert (taken.body["webhook_registered"], "webhook_error" in taken.body) == (False, False)
        shown = await ended(api, taken.headers["x-execution-id"])
        assert (shown["status"], shown["result"]["hello"]) == ("succeeded", "ada")
        asked = await api.call("GET", f"/api/v1/executions/{taken.body['execution_id']}")
        assert asked.headers["x-routed-version"] == "1.0.0"


@pytest.mark.parametrize("path", [GREET, LATER])
async def test_a_webhook_is_told_of_the_end(api: Caller, path: str) -> None:
    receiver = await Receiver().listen()
    async with joined(Node(api, handle=promise)):
        webhook = {"url": receiver.url, "secret": "s3cret", "headers": {"X-Custom-ID": "c"}}
        taken = await api.call("POST", path, {**NAME, "webhook": webhook})
        assert (taken.body["webhook_registered"], taken.body.get("webhook_error")) == (True, None)
        body = await receiver.hear()
    assert (body["event"], body["execution_id"]) == ("execution.completed", taken.body["execution_id"])
    assert body["result"]["hello"] == "ada"
    ((headers, raw),) = receiver.told
    assert headers["X-AgentField-Signature"] == sign("s3cret", raw)
    assert headers["X-Custom-ID"] == "c"
    shown = await told(api, body["execution_id"])
    assert (shown["webhook_registered"], shown["webhook_status"]) == (True, "delivered")
    assert shown["webhook_attempts"] == 1
    assert "s3cret" not in str(shown)
    await receiver.close()


@pytest.mark.parametrize(
    "webhook",
    [
        {"url": ""},
        {"url": "ftp://127.0.0.1/"},
        {"url": "http:///x"},
        {"url": "http://user:pw@127.0.0.1/"},
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://127.0.0.1/\n"},
        {"url": "http://127.0.0.1/", "headers": {"Host": "x"}},
        {"url": "http://127.0.0.1/", "headers": {"a b": "x"}},
        {"url": "http://127.0.0.1/", "headers": {"a": "x\r\nb: c"}},
        {"url": "http://127.0.0.1/", "headers": {"a": "x" * 9_000}},
    ],
)
@pytest.mark.parametrize("path", [GREET, LATER])
async def test_a_webhook_that_cannot_be_called_is_named_and_the_call_goes_on(
    api: Caller, path: str, webhook: dict[str, Any]
) -> None:
    async with joined(Node(api)):
        taken = await api.call("POST", path, {**NAME, "webhook": webhook})
    assert taken.status in (200, 202)
    assert taken.body["webhook_registered"] is False
    assert taken.body["webhook_error"].startswith("`webhook.")
    assert "user:pw" not in taken.body["webhook_error"]


@pytest.mark.parametrize("webhook", ["x", {}, {"url": 1}, {"url": "http://a/", "headers": {"a": 1}}])
async def test_a_webhook_that_is_none_is_refused_and_nothing_is_called(api: Caller, webhook: Any) -> None:
    node = Node(api)
    async with joined(node):
        assert (await api.call("POST", GREET, {**NAME, "webhook": webhook})).status == 400
    assert node.calls == []


async def test_a_skill_is_called_at_its_own_place(api: Caller) -> None:
    node = Node(api)
    async with joined(node):
        assert (await api.post("/api/v1/execute/hello.upper", NAME))["result"] == "ADA"
    assert node.dialled == ["/skills/upper"]


@pytest.mark.parametrize("body", [None, {}, {"input": None}, {"input": {}, "context": {"a": 1}}])
async def test_a_call_without_an_input_gives_an_empty_one(api: Caller, body: Any) -> None:
    node = Node(api)
    async with joined(node):
        assert (await api.call("POST", GREET, body)).status == 200
    assert node.calls[0][1] == {}


@pytest.mark.parametrize(
    ("target", "body", "headers", "status", "category"),
    [
        ("nobody.greet", NAME, {}, 400, "target_not_found"),
        ("hello.nothing", NAME, {}, 400, "target_not_found"),
        ("hello", NAME, {}, 400, "target_not_found"),
        ("hello.", NAME, {}, 400, "target_not_found"),
        (".greet", NAME, {}, 400, "target_not_found"),
        ("hello.greet.", NAME, {}, 400, "target_not_found"),
        ("a.b.c.d", NAME, {}, 400, "target_not_found"),
        ("%00.x", NAME, {}, 400, "malformed"),
        ("x" * 601, NAME, {}, 400, "target_not_found"),
        ("hello%2Fgreet", NAME, {}, 404, "not_found"),
        ("hello.greet", {"input": []}, {}, 400, "invalid_request"),
        ("hello.greet", {"input": "text"}, {}, 400, "invalid_request"),
        ("hello.greet", [], {}, 400, "invalid_request"),
        ("hello.greet", b"{", {}, 400, "invalid_request"),
        ("hello.greet", {"timeout_s": -1}, {}, 400, "invalid_request"),
        ("hello.greet", NAME, {"X-Run-ID": "x" * 300}, 400, "invalid_request"),
        ("hello.greet", NAME, {"X-Session-ID": "\u00e4"}, 400, "invalid_request"),
        ("hello.greet", NAME, {"X-Version": "9.9.9"}, 404, "version_not_found"),
    ],
)
async def test_what_cannot_be_called_is_refused_and_leaves_nothing(
    api: Caller, target: str, body: Any, headers: dict[str, str], status: int, category: str
) -> None:
    node = Node(api)
    async with joined(node):
        for kind in ("", "async/"):
            answer = await api.call("POST", f"/api/v1/execute/{kind}{target}", body, headers=headers)
            assert (answer.status, answer.body["error_category"]) == (status, category), answer
    assert node.calls == []
    assert (await api.get("/events?kind=task.*"))["events"] == []


async def test_ids_with_dots_are_called_by_the_longest_that_is_registered(api: Caller) -> None:
    short = Node(api, id="a", functions=("b.c",), version="1.0.0")
    long = Node(api, id="a.b", functions=("c",), version="2.0.0")
    async with joined(short, long):
        answer = await api.call("POST", "/api/v1/execute/a.b.c", NAME)
    assert answer.headers["x-routed-version"] == "2.0.0"


async def test_an_agent_that_refuses_is_quoted_with_its_status_and_its_version(api: Caller) -> None:
    async def refuse(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
        return web.json_response({"detail": "Missing required field: name"}, status=given["status"])

    async with joined(Node(api, handle=refuse)):
        for status, shown in {422: 422, 400: 400, 404: 404, 401: 502, 403: 502, 429: 502, 500: 502}.items():
            answer = await api.call("POST", GREET, {"input": {"status": status}})
            assert answer.status == shown, (status, answer)
            assert answer.body["error"].endswith("Missing required field: name")
            assert answer.body["error_details"] == {"detail": "Missing required field: name"}
            assert (answer.body["status"], answer.body["error_category"]) == ("failed", "agent_error")
            assert answer.headers["x-routed-version"] == "1.0.0"
            stored = await api.get(f"/api/v1/executions/{answer.headers['x-execution-id']}")
            assert (stored["status"], stored["version"]) == ("failed", "1.0.0")
            assert stored["error_status_code"] == status


async def garbage(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
    return web.Response(body=b"\xff\x00 garbage {", content_type="application/json")


async def nan(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
    return web.Response(body=b'{"a": NaN}', content_type="application/json")


async def silence(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def broken(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def huge(node: Node, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
    """Send a gigabyte, or as much of it as anybody reads."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1_024):
        await response.write(b"x" * 1_048_576)
        node.dialled.append("a megabyte")
    return response


async def redirect(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
    raise web.HTTPTemporaryRedirect(f"{node.url}/reasoners/elsewhere")


async def metadata(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
    raise web.HTTPFound("http://169.254.169.254/latest/meta-data/")


@pytest.mark.parametrize(
    ("handle", "status"),
    [
        (garbage, 502),
        (nan, 502),
        (silence, 504),
        (broken, 502),
        (huge, 502),
        (redirect, 502),
        (metadata, 502),
    ],
)
async def test_an_agent_that_misbehaves_costs_its_own_call_only(
    api: Caller, handle: Any, status: int
) -> None:
    node = Node(api, handle=handle)
    async with joined(node):
        answer = await api.call("POST", GREET, NAME)
        assert answer.status in (status, 502), answer
        assert answer.body["status"] in ("failed", "timeout")
        assert answer.headers["x-routed-version"] == "1.0.0"
        assert node.dialled.count("/reasoners/greet") == 1, "what may have begun is not repeated"
        assert "/reasoners/elsewhere" not in node.dialled
        assert node.dialled.count("a megabyte") < 32
        node.handle = None
        await node.beat()
        assert (await api.call("POST", GREET, NAME)).status == 200


async def test_an_agent_at_a_forbidden_address_is_not_dialled(api: Caller) -> None:
    node = Node(api)
    await node.register(base_url="http://169.254.169.254/latest")
    await node.beat()
    answer = await api.call("POST", GREET, NAME)
    assert answer.status in (502, 504), answer
    assert answer.body["status"] == "failed"
    assert "169.254" not in str(answer.body), "the caller is not told where agents live"


async def test_an_agent_that_answers_twice_is_believed_once(api: Caller) -> None:
    answers: list[Answer] = []

    async def twice(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
        execution_id = request.headers["X-Execution-ID"]
        for result in (1, 1, 2):
            answer = await node.report(execution_id, status="succeeded", result=result)
            answers.append(answer)
        return web.json_response(3)

    async with joined(Node(api, handle=twice)):
        answer = await api.call("POST", GREET, NAME)
    assert (answer.status, answer.body["result"]) == (200, 1)
    assert [one.status for one in answers] == [200, 200, 409]
    assert answers[2].body["error_category"] == "already_ended"


@pytest.mark.parametrize("result", [[1, {}], "text", 2.5, None, True, {"a": None}])
async def test_a_report_may_bring_any_json(api: Caller, result: Any) -> None:
    async def report(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
        said = {
            "status": "succeeded",
            "result": result,
            "duration_ms": 1.5,
            "completed_at": "2026-01-01T00:00:00",
        }
        node.later(node.report(request.headers["X-Execution-ID"], **said, usage={"tokens": 1}))
        return web.json_response({}, status=202)

    async with joined(Node(api, handle=report)):
        answer = await api.call("POST", GREET, NAME)
    assert (answer.status, answer.body["result"]) == (200, result)


async def test_a_reported_failure_keeps_its_reason_and_details(api: Caller) -> None:
    async def report(node: Node, request: web.Request, given: dict[str, Any]) -> web.Response:
        said = {"status": "failed", "error": "no tea", "error_details": {"at": [1]}, "error_status_code": 418}
        node.later(node.report(request.headers["X-Execution-ID"], **said))
        return web.json_response({}, status=202)

    async with joined(Node(api, handle=report)):
        answer = await api.call("POST", GREET, NAME)
    assert (answer.body["error_message"], answer.body["error_details"]) == ("no tea", {"at": [1]})
    assert answer.status == 418


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"status": "done"},
        {"status": None},
        {"status": "failed", "error_status_code": 7},
        {"status": "succeeded", "duration_ms": "long"},
    ],
)
async def test_a_report_that_does_not_fit_is_refused_and_changes_nothing(api: Caller, said: Any) -> None:
    node = Node(api, handle=hang)
    async with joined(node):
        taken = await api.post(LATER, NAME)
        await under_way(node)
        assert (await node.report(taken["execution_id"], **said)).status == 400
        assert (await api.get(f"/api/v1/executions/{taken['execution_id']}"))["status"] == "running"


async def test_a_result_past_the_limit_ends_its_execution_as_failed(api: Caller) -> None:
    node = Node(api, handle=hang)
    async with joined(node):
        taken = await api.post(LATER, NAME)
        await under_way(node)
        long = "x" * QUICK.answer_bytes
        refused = await node.report(taken["execution_id"], status="succeeded", result=long)
        assert (refused.status, refused.body["error_category"]) == (413, "too_large")
        shown = await ended(api, taken["execution_id"])
    assert (shown["status"], shown["error_status_code"]) == ("failed", 413)


async def test_reports_are_taken_from_the_agents_own_key_only(plane: Plane) -> None:
    mine, other = (
        await plane.key("fleet:write", "tasks:submit"),
        await plane.key("fleet:write", "tasks:submit"),
    )
    node = Node(mine, handle=hang)
    async with joined(node), joined(Node(other, id="another")):
        taken = await plane.main.post(LATER, NAME)
        execution_id = await under_way(node)
        forged = {"status": "succeeded", "result": "forged"}
        stranger = await other.call("POST", f"/api/v1/executions/{execution_id}/status", forged)
        assert (stranger.status, stranger.body["error_category"]) == (403, "not_your_execution")
        unknown = await mine.call("POST", "/api/v1/executions/exec_none/status", forged)
        assert unknown.status == 404
        assert (await node.report(execution_id, status="succeeded", result="mine")).status == 200
        assert (await ended(plane.main, taken["execution_id"]))["result"] == "mine"


async def test_a_report_of_an_agent_that_said_good_bye_is_taken(api: Caller) -> None:
    node = Node(api, handle=hang)
    async with joined(node):
        taken = await api.post(LATER, NAME)
        execution_id = await under_way(node)
        await api.post("/api/v1/nodes/hello/shutdown", {"reason": "signal"})
        refused = await api.call("POST", GREET, NAME)
        assert (refused.status, refused.body["error"]) == (503, "node_unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await node.report(execution_id, status="succeeded", result=1)).status == 200
        assert (await ended(api, taken["execution_id"]))["result"] == 1


async def test_a_call_that_takes_too_long_is_answered_and_goes_on(api: Caller) -> None:
    node = Node(api, handle=hang)
    async with joined(node):
        began = time.monotonic()
        answer = await api.call("POST", GREET, NAME)
        assert 1.5 < time.monotonic() - began < 8
        assert (answer.status, answer.body["error_category"]) == (504, "timeout")
        assert answer.headers["x-routed-version"] == "1.0.0"
        execution_id = answer.headers["x-execution-id"]
        assert (await api.get(f"/api/v1/executions/{execution_id}"))["status"] == "running"
        await node.report(execution_id, status="succeeded", result="late")
        assert (await ended(api, execution_id))["result"] == "late"


async def test_an_execution_is_cancelled_in_its_agent(api: Caller) -> None:
    node = Node(api, handle=hang)
    async with joined(node):
        taken = await api.post(LATER, NAME)
        execution_id = await under_way(node)
        cancelled = await api.call("POST", f"/api/v1/executions/{execution_id}/cancel", {"reason": "enough"})
        assert cancelled.status == 200
        await asyncio.wait_for(node.stop_asked.wait(), 5)
        said = {
            "status": "cancelled",
            "error": "cancelled_by_control_plane",
            "error_details": {"reason": "x"},
        }
        assert (await node.report(execution_id, **said)).status == 200
        assert (await ended(api, taken["execution_id"]))["status"] == "cancelled"
        again = await api.call("POST", f"/api/v1/executions/{execution_id}/cancel")
        assert (again.status, again.body["cancelled"]) == (200, True)
    assert (await api.call("POST", "/api/v1/executions/none/cancel")).status == 404


async def test_the_status_of_several_is_asked_at_once(api: Caller) -> None:
    async with joined(Node(api)):
        ids = [(await api.post(GREET, NAME))["execution_id"] for _ in range(3)]
    batch = await api.post(
        "/api/v1/executions/batch-status", {"execution_ids": [*ids, ids[0], "none", "\u00e4"]}
    )
    assert {name: one["status"] for name, one in batch.items()} == dict.fromkeys(ids, "succeeded")
    assert await api.post("/api/v1/executions/batch-status", {"execution_ids": []}) == {}
    too_many = await api.call("POST", "/api/v1/executions/batch-status", {"execution_ids": ["x"] * 1_001})
    assert too_many.status == 400
    assert (await api.call("GET", "/api/v1/executions/none")).status == 404


async def test_the_same_key_is_the_same_execution(api: Caller) -> None:
    node = Node(api)
    async with joined(node):
        key = {"Idempotency-Key": "k-1"}
        first = await api.call("POST", GREET, NAME, headers=key)
        again = await api.call("POST", GREET, NAME, headers=key)
        assert again.body["execution_id"] == first.body["execution_id"]
        other = await api.call("POST", GREET, {"input": {"name": "eve"}}, headers=key)
        assert (other.status, other.body["error_category"]) == (409, "idempotency_conflict")
    assert len(node.calls) == 1


async def test_a_thousand_calls_at_900_to_100_are_exactly_that(api: Caller) -> None:
    old, new = Node(api), Node(api, version="2.0.0")
    async with beating(old, new):
        weights = {"weights": {"1.0.0": 900, "2.0.0": 100}}
        await api.put("/api/v1/traffic/reasoners/hello/weights", weights)
        routed = [(await api.call("POST", GREET, NAME)).headers["x-routed-version"] for _ in range(100)]
        assert all(routed[start : start + 10].count("2.0.0") == 1 for start in range(91)), routed

        async def lane() -> None:
            for _ in range(90):
                await api.post(GREET, NAME)

        await asyncio.gather(*(lane() for _ in range(10)))
    assert (len(old.calls), len(new.calls)) == (900, 100)


async def test_a_large_input_passes_where_nothing_else_may_be_as_large(tmp_path: Path) -> None:
    limits = replace(Settings().limits, body_bytes=10_000)
    async with running_plane(tmp_path / "data", replace(Settings(), traffic=QUICK, limits=limits)) as plane:
        node = Node(plane.main)
        async with joined(node):
            given = {"name": "x" * 150_000}
            assert (await plane.main.call("POST", GREET, {"input": given})).status == 200
            long = {"name": "x" * QUICK.answer_bytes}
            refused = await plane.main.call("POST", GREET, {"input": long})
            assert (refused.status, refused.body["error_category"]) == (413, "too_large")
            kept = await plane.main.call("POST", "/api/v1/memory/set", {"key": "k", "data": given})
            assert (kept.status, kept.body["error_category"]) == (413, "too_large")
        assert [one[1] for one in node.calls] == [given]
