"""The agents' memory over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from support.plane import Caller, running_plane

RUN = {"X-Workflow-ID": "run-1"}
SESSION = {"X-Session-ID": "s-1"}
ACTOR = {"X-Actor-ID": "a-1"}


async def put(api: Caller, key: str, data: Any, headers: dict[str, str] | None = None, **more: Any) -> Any:
    return await api.post("/api/v1/memory/set", {"key": key, "data": data, **more}, headers=headers or {})


async def read(api: Caller, key: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    answer = await api.call("POST", "/api/v1/memory/get", {"key": key, **more}, headers=headers or {})
    return answer.body["data"] if answer.status == 200 else answer.status


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None]}, [], "text", "", 0, 1e300, True, None])
async def test_any_json_is_kept_as_it_is(api: Caller, value: Any) -> None:
    kept = await put(api, "k", value)
    assert (kept["scope"], kept["scope_id"], kept["key"]) == ("global", "global", "k")
    assert await read(api, "k") == value


async def test_a_read_without_a_scope_looks_from_the_run_to_everybodys(api: Caller) -> None:
    everything = {**RUN, **SESSION, **ACTOR}
    for number, headers in enumerate(({}, ACTOR, SESSION, RUN)):
        await put(api, "k", number, headers)
        assert await read(api, "k", everything) == number
    assert [await read(api, "k", headers) for headers in (RUN, SESSION, ACTOR, {})] == [3, 2, 1, 0]
    assert await read(api, "k", everything, scope="actor") == 1
    assert await read(api, "k", everything, scope="global") == 0
    assert await read(api, "k", scope="session", scope_id="s-1") == 2
    assert await read(api, "k", {"X-Session-ID": "another"}, scope="session") == 404


async def test_a_missing_key_is_404_and_deleting_it_is_no_error(api: Caller) -> None:
    assert await read(api, "k") == 404
    gone = await api.post("/api/v1/memory/delete", {"key": "k"})
    assert gone == {"success": True, "deleted": False}
    await put(api, "k", 1)
    assert (await api.post("/api/v1/memory/delete", {"key": "k"}))["deleted"]
    assert await read(api, "k") == 404


async def test_keys_of_a_scope_are_a_list(api: Caller) -> None:
    for key in ("b", "a"):
        await put(api, key, 1, RUN)
    await put(api, "c", 1)
    rows = await api.get("/api/v1/memory/list?scope=workflow", headers=RUN)
    assert [row["key"] for row in rows] == ["a", "b"]
    assert all(row.keys() == {"scope", "scope_id", "key", "created_at", "updated_at"} for row in rows)
    assert await api.get("/api/v1/memory/list?scope=session", headers=SESSION) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"data": 1}, 400),
        ({"key": "", "data": 1}, 400),
        ({"key": "k"}, 400),
        ({"key": "k" * 257, "data": 1}, 400),
        ({"key": "a\nb", "data": 1}, 400),
        ({"key": "k", "data": 1, "scope": "other"}, 400),
        ({"key": "k", "data": 1, "scope": "session"}, 409),
        ({"key": "k", "data": 1, "scope_id": "s"}, 409),
        ([], 400),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_is_kept(api: Caller, body: Any, status: int) -> None:
    answer = await api.call("POST", "/api/v1/memory/set", body)
    assert answer.status == status, answer
    assert await api.get("/api/v1/memory/list?scope=global") == []


async def test_memory_outlives_the_server(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "data") as first:
        await put(first.main, "k", {"v": 1}, SESSION)
    async with running_plane(tmp_path / "data") as second:
        assert await read(second.main, "k", SESSION) == {"v": 1}
