"""The clients against a scripted server: retries, errors, resumed streams, and the blocking face."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from stellwerk.sdk import (
    AsyncClient,
    Client,
    Conflict,
    NewTask,
    NotAllowed,
    Refused,
    StellwerkError,
    Submitted,
    Unreachable,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TAKEN = {
    "task_id": "t1",
    "submitted_at": "2026-11-21T21:43:43.666595+00:00",
    "state": "queued",
    "duplicate": False,
}


class Script:
    """Answers requests one after the other with what was put in; the last answer stays."""

    def __init__(self, *answers: Handler) -> None:
        self.answers = list(answers)
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.bodies.append(json.loads(text) if text else None)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path_qs)
        return await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)


def answer(body: Any, status: int = 200, **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return handle


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def events(*lines: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write("".join(line + "\n" for line in lines).encode())
        return response

    return handle


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    application = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await script(request)

    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_submission_that_is_sent_again_carries_the_same_key() -> None:
    script = Script(hang_up, answer({"detail": "full"}, 503, **{"Retry-After": "0"}), answer(TAKEN))
    async with serving(script) as url, AsyncClient(url, api_key="sw_k_s") as client:
        taken = await client.submit("echo", {"a": 1}, capabilities=["c"], requires={"agent_type": "worker"})
    assert taken == Submitted("t1", datetime(2026, 11, 21, 21, 43, 43, 666595, UTC))
    assert script.bodies[0] == script.bodies[1] == script.bodies[2]
    key = script.bodies[0].pop("idempotency_key")
    assert len(key) == 32
    assert script.bodies[0] == {
        "task_data": {"a": 1, "task_type": "echo"},
        "priority": "normal",
        "requirements": {"agent_type": "worker", "capabilities": ["c"]},
        "repeatable": True,
    }
    assert script.headers[0]["authorization"] == "Bearer sw_k_s"


async def test_action_whose_connection_breaks_is_not_sent_again() -> None:
    script = Script(hang_up)
    async with serving(script) as url, AsyncClient(url) as client:
        with pytest.raises(Unreachable):
            await client.cancel("t1")
    assert len(script.paths) == 1


async def test_refusals_become_their_errors_at_once() -> None:
    script = Script(
        answer({"detail": "no such key"}, 401),
        answer({"detail": "other body", "code": "idempotency_conflict"}, 409),
        answer({"detail": "Invalid priority: x"}, 400),
        answer({"detail": "Error getting task: r1"}, 500),
    )
    async with serving(script) as url, AsyncClient(url) as client:
        with pytest.raises(NotAllowed):
            await client.get("t/1")
        with pytest.raises(Conflict) as conflict:
            await client.get("t1")
        assert (conflict.value.status, conflict.value.code) == (409, "idempotency_conflict")
        with pytest.raises(Refused, match="400: Invalid priority: x"):
            await client.get("t1")
        with pytest.raises(Unreachable, match="Error getting task: r1"):
            await client.get("t1")
    assert script.paths[0] == "/tasks/t%2F1"


async def test_unavailable_server_is_given_up_after_the_patience() -> None:
    script = Script(answer({"detail": "gone"}, 503))
    async with serving(script) as url, AsyncClient(url, retry_s=0.2) as client:
        with pytest.raises(Unreachable, match="gone"):
            await client.status()
    assert 2 <= len(script.paths) <= 4


async def test_submit_many_keeps_order_and_stops_at_a_refusal() -> None:
    async def taken(request: web.Request) -> web.StreamResponse:
        return web.json_response(TAKEN | {"task_id": str((await request.json())["task_data"]["n"])})

    tasks = [NewTask(task_type="echo", data={"n": n}) for n in range(50)]
    async with serving(Script(taken)) as url, AsyncClient(url) as client:
        assert [each.task_id for each in await client.submit_many(tasks, concurrency=8)] == [
            str(n) for n in range(50)
        ]
    script = Script(answer(TAKEN), answer({"detail": "no"}, 422))
    async with serving(script) as url, AsyncClient(url) as client:
        with pytest.raises(Refused):
            await client.submit_many(tasks, concurrency=1)
    assert len(script.paths) == 2


async def test_stream_resumes_behind_the_last_event_it_saw() -> None:
    first = json.dumps({"kind": "task.submitted", "task": "t1", "cursor": "c1", "data": {}})
    second = json.dumps(
        {"kind": "task.leased", "task": "t1", "cursor": "c2", "group": "w1", "data": {"attempt": 1}}
    )
    script = Script(
        events(": hello", "id: c0", ""),
        events("id: c1", "event: task.submitted", f"data: {first}", "", "data: {"),
        events("event: dropped", "id: c1b", "data: {}", ""),
        events("id: c2", f"data: {second}", ""),
    )
    async with serving(script) as url, AsyncClient(url) as client:
        stream = client.stream(kinds=["task.*"])
        seen = [await anext(stream), await anext(stream)]
    assert [(event.kind, event.cursor, event.group) for event in seen] == [
        ("task.submitted", "c1", None),
        ("task.leased", "c2", "w1"),
    ]
    assert script.paths[0] == "/events/stream?kind=task.*"
    assert [path.removeprefix(script.paths[0]) for path in script.paths] == [
        "",
        "&after=c0",
        "&after=c1",
        "&after=c1b",
    ]


async def test_refused_stream_raises() -> None:
    async with serving(Script(answer({"detail": "no scope"}, 403))) as url, AsyncClient(url) as client:
        with pytest.raises(NotAllowed):
            await anext(client.stream())


async def test_blocking_client_works_from_several_threads_and_ends_its_own() -> None:
    before = threading.active_count()
    async with serving(Script(answer(TAKEN))) as url:
        client = Client(url)

        def submit() -> str:
            return client.submit("echo").task_id

        assert await asyncio.gather(*(asyncio.to_thread(submit) for _ in range(8))) == ["t1"] * 8
        assert any(thread.name == "stellwerk-client" for thread in threading.enumerate())
        await asyncio.to_thread(client.close)
        client.close()
    assert not any(thread.name == "stellwerk-client" for thread in threading.enumerate())
    assert threading.active_count() >= before
    with pytest.raises(StellwerkError, match="closed"):
        client.submit("echo")
