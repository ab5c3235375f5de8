"""API keys, and the description of everything."""

from typing import Any

import pytest

from stellwerk.interfaces.coordinator import agent_sockets
from support.plane import Caller, Plane


async def test_key_is_created_used_listed_and_revoked(plane: Plane):
    made = await plane.main.post("/keys", {"name": "ci", "scopes": ["tasks:submit"], "expires_in_s": 3600})
    assert made["key"].startswith(f"sw_{made['key_id']}_")
    assert (made["name"], made["scopes"], made["revoked_at"]) == ("ci", ["tasks:submit"], None)
    assert made["expires_at"] > made["created_at"]
    caller = plane.main.with_key(made["key"])
    await caller.post("/tasks/submit", {"task_data": {}})
    assert (await caller.call("GET", "/tasks")).status == 403
    listed = (await plane.main.get("/keys"))["keys"]
    assert [key["key_id"] for key in listed] == [made["key_id"]]
    assert "key" not in listed[0]
    assert made["key"].rpartition("_")[2] not in str(listed)
    assert (await plane.main.delete(f"/keys/{made['key_id']}"))["revoked_at"]
    assert (await caller.call("POST", "/tasks/submit", {"task_data": {}})).status == 401


async def test_nobody_gives_away_more_than_they_have(plane: Plane):
    keeper = await plane.key("keys:admin")
    answer = await keeper.call("POST", "/keys", {"name": "x", "scopes": ["tasks:admin"]})
    assert (answer.status, answer.body["code"]) == (403, "scopes_exceeded")
    await keeper.post("/keys", {"name": "x", "scopes": ["keys:admin"]})


async def test_faulty_keys_are_refused(api: Caller):
    bodies: list[Any] = [
        {},
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "", "scopes": ["admin"]},
        {"name": "a\nb", "scopes": ["admin"]},
        {"name": "x", "scopes": ["admin"], "expires_in_s": -1},
    ]
    for body in bodies:
        assert (await api.call("POST", "/keys", body)).status == 422, body
    assert (await api.get("/keys"))["keys"] == []
    assert (await api.call("DELETE", "/keys/nothing")).status == 404


@pytest.fixture
def often_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named before the plane: the first check is put off by what holds at its start."""
    monkeypatch.setattr(agent_sockets, "CHECK_S", 0.05)


async def test_revoked_key_loses_its_websocket(often_checked: None, plane: Plane):
    made = await plane.main.post("/keys", {"name": "w", "scopes": ["fleet:write", "tasks:work"]})
    worker = plane.main.with_key(made["key"])
    await worker.post("/agents/register", {"agent_id": "a1", "agent_type": "worker"})
    async with worker.socket("/agents/a1/ws") as socket:
        await socket.receive_str()
        await plane.main.delete(f"/keys/{made['key_id']}")
        await socket.receive(timeout=10)
        assert socket.close_code == 4403


async def test_main_listener_describes_every_interface(plane: Plane):
    merged = await plane.main.get("/openapi.json")
    own = await plane.coordinator.get("/openapi.json")
    assert merged["openapi"].startswith("3.")
    assert own["paths"].keys() <= merged["paths"].keys()
    assert {"/metrics", "/events", "/events/stream", "/keys", "/ready"} <= merged["paths"].keys()
    identifiers = [one["operationId"] for item in merged["paths"].values() for one in item.values()]
    assert len(identifiers) == len(set(identifiers))
    assert b"swagger-ui-bundle.js" in await plane.main.get("/docs")
    assert (await plane.main.call("GET", "/docs/swagger-ui-bundle.js")).status == 200
