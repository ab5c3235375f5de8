"""Bad input is a 4xx in the interface's shape, changes nothing, and leaves no traceback."""

from typing import Any
from urllib.parse import quote

import pytest

from support.plane import Answer, Caller, Plane

DEEP = b"[" * 100_000
BODIES = {
    "empty": b"",
    "no json": b"{",
    "array": b"[]",
    "null": b"null",
    "text": b'"x"',
    "number": b"1",
    "deep": DEEP,
    "deep inside": b'{"agent_id":"a1","agent_type":"worker","metadata":' + b'{"a":' * 70 + b"1" + b"}" * 71,
    "bad utf-8": b'{"agent_id":"\xff\xfe","agent_type":"worker"}',
    "duplicate key": b'{"agent_id":"a1","agent_id":"a2","agent_type":"worker"}',
    "nan": b'{"agent_id":"a1","agent_type":"worker","metadata":{"x":NaN}}',
    "infinite": b'{"agent_id":"a1","agent_type":"worker","metadata":{"x":1e999}}',
    "lone surrogate": b'{"agent_id":"a1","agent_type":"worker","metadata":{"x":"\\ud800"}}',
    "id is a number": b'{"agent_id":1,"agent_type":"worker"}',
    "capabilities is a text": b'{"agent_id":"a1","agent_type":"worker","capabilities":"x"}',
    "capability is a number": b'{"agent_id":"a1","agent_type":"worker","capabilities":[1]}',
    "endpoint is an object": b'{"agent_id":"a1","agent_type":"worker","endpoints":{"http":{}}}',
    "metadata is a list": b'{"agent_id":"a1","agent_type":"worker","metadata":[]}',
    "control character": b'{"agent_id":"a1","agent_type":"worker","tags":["a\\u0000b"]}',
    "too many tags": b'{"agent_id":"a1","agent_type":"worker","tags":[' + b'"t",' * 300 + b'"t"]}',
    "metadata too large": b'{"agent_id":"a1","agent_type":"worker","metadata":{"x":"'
    + b"x" * 70_000
    + b'"}}',
}
IDS = {
    "empty": "",
    "slash": "a/b",
    "space": "a b",
    "control": "a\x00b",
    "newline": "a1\n",
    "umlaut": "ä",
    "long": "x" * 10_000,
    "dots": "..",
    "reserved": "discover",
}


def assert_refused(answer: Answer, *statuses: int) -> None:
    assert answer.status in (statuses or range(400, 500)), answer
    assert isinstance(answer.body["detail"], str)
    assert "Traceback" not in answer.body["detail"]


async def assert_nothing_changed(api: Caller) -> None:
    assert (await api.get("/registry/stats"))["stats"]["total_agents"] == 0
    assert (await api.get("/tasks"))["count"] == 0
    assert (await api.get("/events?kind=agent.*,task.*"))["events"] == []


async def test_bad_registrations_are_refused(api: Caller):
    for name, body in BODIES.items():
        answer = await api.call("POST", "/agents/register", body)
        assert answer.status in (400, 413, 422), (name, answer)
        assert_refused(answer)
    await assert_nothing_changed(api)


async def test_bad_ids_are_refused_and_never_found(api: Caller):
    for name, agent_id in IDS.items():
        answer = await api.call("POST", "/agents/register", {"agent_id": agent_id, "agent_type": "worker"})
        assert answer.status == 422, (name, answer)
        assert_refused(answer)
    for name in ("slash", "space", "control", "umlaut", "long"):
        path = f"/agents/{quote(IDS[name], safe='')}"
        assert_refused(await api.call("GET", path), 400, 404, 414, 431)
    await assert_nothing_changed(api)


SUBMISSIONS: list[Any] = [
    {"task_data": None},
    {"task_data": []},
    {"task_data": "x"},
    {},
    {"task_data": {}, "priority": ["high"]},
    {"task_data": {}, "requirements": []},
    {"task_data": {}, "requirements": {"capabilities": "x"}},
    {"task_data": {}, "requirements": {"min_health_score": 2}},
    {"task_data": {}, "requirements": {"agent": "a/b"}},
    {"task_data": {"task_id": 5}},
    {"task_data": {"task_type": 5}},
    {"task_data": {"task_type": "a\x00"}},
    {"task_data": {}, "task_id": "a b"},
    {"task_data": {}, "max_attempts": 0},
    {"task_data": {}, "delay_s": -1},
    {"task_data": {}, "timeout_s": 0},
    {"task_data": {}, "deadline": "soon"},
    {"task_data": {}, "idempotency_key": ""},
    {"task_data": {}, "idempotency_key": "x" * 10_000},
    {"task_data": {}, "repeatable": "yes"},
]


async def test_bad_submissions_are_refused(api: Caller):
    for body in SUBMISSIONS:
        answer = await api.call("POST", "/tasks/submit", body)
        assert answer.status == 422, (body, answer)
        assert_refused(answer)
    await assert_nothing_changed(api)


async def test_bodies_over_the_limit_are_refused(api: Caller):
    huge = b'{"task_data":{"x":"' + b"x" * 1_100_000 + b'"}}'
    assert_refused(await api.call("POST", "/tasks/submit", huge), 413)
    await assert_nothing_changed(api)


async def test_foreign_content_types_are_refused(api: Caller):
    for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "application/msgpack"):
        answer = await api.call("POST", "/tasks/submit", b'{"task_data":{}}', headers={"content-type": kind})
        assert_refused(answer, 415)
    await assert_nothing_changed(api)


async def test_other_methods_name_those_that_are_allowed(api: Caller):
    for method, path, allowed in (
        ("GET", "/agents/register", "OPTIONS, POST"),
        ("DELETE", "/tasks/submit", "OPTIONS, POST"),
        ("PATCH", "/agents/a1", "DELETE, GET, OPTIONS"),
        ("POST", "/health", "GET, OPTIONS"),
        ("TRACE", "/tasks/t1/logs", "GET, OPTIONS, POST"),
    ):
        answer = await api.call(method, path)
        assert_refused(answer, 405)
        assert answer.headers["allow"] == allowed, path
    options = await api.call("OPTIONS", "/tasks/t1/logs")
    assert (options.status, options.headers["allow"]) == (204, "GET, OPTIONS, POST")


async def test_unknown_paths_are_not_found_in_the_interface_s_shape(plane: Plane):
    for path in ("/agents", "/agents/", "/agents/a/b/c", "/tasks/", "/nothing", "/agents//status"):
        answer = await plane.coordinator.call("GET", path)
        assert_refused(answer, 404)
        assert answer.body["status"] == "error", path


async def test_unexpected_failure_names_the_request_and_nothing_else(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
):
    from stellwerk.fleet.service import Fleet

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Fleet, "find", broken)
    answer = await plane.main.call("POST", "/agents/discover", {}, headers={"x-request-id": "req-1"})
    assert (answer.status, answer.body) == (500, {"detail": "Error discovering agents: req-1"})
    assert answer.headers["x-request-id"] == "req-1"


async def test_absent_database_is_503_with_retry_after(plane: Plane, monkeypatch: pytest.MonkeyPatch):
    from stellwerk.database.errors import DatabaseUnavailable
    from stellwerk.work.service import Work

    async def gone(*_: object) -> None:
        raise DatabaseUnavailable("the disk is full", 7)

    monkeypatch.setattr(Work, "submit", gone)
    answer = await plane.main.call("POST", "/tasks/submit", {"task_data": {}})
    assert (answer.status, answer.body) == (503, {"detail": "Task distributor not available"})
    assert answer.headers["retry-after"] == "7"
