"""Every operation × every kind of caller. The operations are those of the served description."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stellwerk.settings import Settings
from stellwerk.trust.scopes import Scope, granted_by
from support.authorisation import matrix
from support.plane import Answer, Caller, Plane, running_plane

DOCUMENT = Path(__file__).parents[2] / "docs" / "authorisation.md"
ENDLESS = ("/events/stream", "/api/events/stream")
PUBLIC = {("GET", "/health"), ("GET", "/"), ("GET", "/ready")} | {
    ("POST", "/api/v1/agents/register"),
    ("GET", "/api/v1/agents/ca"),
    ("GET", "/api/v1/agents/crl"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/config"),
}


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    settings = Settings()
    # There are more operations than an address may guess in a minute.
    patient = replace(settings, limits=replace(settings.limits, failed_logins_per_min=1_000))
    async with running_plane(tmp_path / "data", patient) as running:
        yield running


async def operations(api: Caller) -> list[tuple[str, str, str | None]]:
    """List method, path and required scope of every operation that needs no certificate and no connector's
    token."""
    paths: dict[str, Any] = (await api.get("/openapi.json"))["paths"]
    return [
        (method.upper(), path, operation.get("x-required-scope"))
        for path, item in paths.items()
        for method, operation in item.items()
        if not operation.keys() & {"x-required-certificate", "x-required-capability"}
    ]


async def ask(api: Caller, method: str, path: str) -> Answer:
    """Call an operation with nothing in it: whoever may is told that something is missing, or answered."""
    filled = path.replace("{", "no-").replace("}", "")
    # An unknown cursor is refused after the scope was checked, so the stream does not begin.
    headers = {"last-event-id": "x"} if path in ENDLESS else {}
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    return await api.call(method, filled, body, headers=headers)


def words_of(answer: Answer) -> set[str]:
    """Return the words of a refusal; each interface has its own shape."""
    body = answer.body
    told = body["error"] if isinstance(body.get("error"), dict) else body
    return {word for word in told.values() if isinstance(word, str)}


@pytest.mark.parametrize("scope", [*Scope], ids=[scope.value for scope in Scope])
async def test_key_with_one_scope_may_do_what_it_implies_and_nothing_else(plane: Plane, scope: Scope):
    granted = {one.value for one in granted_by([scope])}
    key = await plane.key(scope.value)
    for method, path, required in await operations(plane.main):
        answer = await ask(key, method, path)
        if required is None or required in granted:
            assert answer.status not in (401, 403), (method, path, answer)
        else:
            assert answer.status == 403, (method, path, answer)
            assert "missing_scope" in words_of(answer), (method, path, answer)


async def test_wrong_key_is_refused_everywhere_that_needs_one(plane: Plane):
    stranger = plane.main.with_key("sw_000000000000_" + "0" * 64)
    for method, path, required in await operations(plane.main):
        answer = await ask(stranger, method, path)
        assert answer.status == 401 or required is None, (method, path, answer)


async def test_closed_listener_needs_a_key_for_everything_that_is_not_public(tmp_path: Path):
    settings = Settings()
    async with running_plane(tmp_path / "data") as plane:
        described = await operations(plane.main)
        admin = (await plane.key("admin")).headers
    closed = replace(settings, access=replace(settings.access, open_loopback=False))
    async with running_plane(tmp_path / "data", closed) as plane:
        for method, path, required in described:
            answer = await ask(plane.main, method, path)
            assert (answer.status == 401) == (required is not None), (method, path, answer)
            plane.main.headers = admin
            assert (await ask(plane.main, method, path)).status not in (401, 403)
            plane.main.headers = {}


async def test_only_these_operations_are_public(plane: Plane):
    described = await operations(plane.main)
    assert {(method, path) for method, path, required in described if required is None} == PUBLIC


async def test_document_of_the_matrix_is_what_is_served(plane: Plane):
    now = matrix((await plane.main.get("/openapi.json"))["paths"])
    if os.environ.get("STELLWERK_GOLDEN") == "write":
        DOCUMENT.write_text(now)
    assert DOCUMENT.read_text() == now


async def test_refused_callers_change_nothing(plane: Plane):
    await plane.main.post("/agents/register", {"agent_id": "a1", "agent_type": "worker"})
    await plane.main.post("/tasks/submit", {"task_data": {}, "task_id": "t1"})
    before = (await plane.main.get("/events?kind=agent.*,task.*"))["events"]
    reader = await plane.key("fleet:read", "tasks:read")
    for method, path in (
        ("DELETE", "/agents/a1"),
        ("PUT", "/agents/a1/status"),
        ("POST", "/tasks/t1/cancel"),
        ("POST", "/tasks/queues/normal/clear"),
    ):
        assert (await reader.call(method, path, {"status": "error"})).status == 403
    assert (await plane.main.get("/events?kind=agent.*,task.*"))["events"] == before
    for _ in range(500):  # refusals are written behind the answers
        refusals = (await plane.main.get("/events?kind=access.*"))["events"]
        if refusals:
            break
        await asyncio.sleep(0.02)
    assert refusals
