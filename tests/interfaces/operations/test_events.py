"""The journal over HTTP: pages and the stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from stellwerk.http import sse
from stellwerk.settings import Settings
from support.plane import Caller, running_plane


@dataclass(slots=True)
class Stream:
    """A stream of server-sent events, read block by block."""

    response: aiohttp.ClientResponse

    async def block(self) -> dict[str, str]:
        """Return the next block's fields; a comment is the field with the empty name."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            while True:
                line = (await self.response.content.readline()).decode()
                if not line:
                    raise EOFError
                if line == "\n":
                    return fields
                name, _, value = line.rstrip("\n").partition(":")
                fields[name] = value.removeprefix(" ")

    async def event(self) -> dict[str, Any]:
        """Return the next event."""
        while True:
            fields = await self.block()
            if "data" in fields:
                decoded: dict[str, Any] = msgspec.json.decode(fields["data"])
                assert fields["id"] == decoded["cursor"]
                return decoded


@asynccontextmanager
async def streaming(api: Caller, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    async with api.session.get(f"{api.url}/events/stream{query}", headers=headers) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        stream = Stream(response)
        # With the place where it begins, so that a reader that has seen nothing yet can resume there.
        welcome = await stream.block()
        assert welcome.keys() == {"", "id"}
        yield stream


async def register(api: Caller, agent_id: str) -> None:
    await api.post("/agents/register", {"agent_id": agent_id, "agent_type": "worker"})


async def page(api: Caller, query: str = "") -> list[tuple[str, str | None]]:
    found = (await api.get(f"/events?{query}"))["events"]
    return [(event["kind"], event["group"] or event["task"]) for event in found]


async def test_page_is_filtered_and_goes_on(api: Caller):
    await register(api, "a1")
    await register(api, "a2")
    await api.post("/tasks/submit", {"task_data": {}, "task_id": "t1"})
    assert await page(api, "kind=agent.*") == [("agent.registered", "a1"), ("agent.registered", "a2")]
    assert await page(api, "kind=agent.registered,task.submitted&group=a2") == [("agent.registered", "a2")]
    assert await page(api, "task=t1") == [("task.submitted", "t1")]
    assert await page(api, "principal=nobody") == []
    assert await page(api, "since=2090-01-01T00:00:00Z") == []
    assert len(await page(api, "until=2090-01-01T00:00:00Z")) == 3
    first = await api.get("/events?kind=agent.*&limit=1")
    rest = await api.get(f"/events?kind=agent.*&after={first['next']}")
    assert [event["group"] for event in first["events"] + rest["events"]] == ["a1", "a2"]


async def test_event_has_every_field(api: Caller):
    await api.post("/tasks/submit", {"task_data": {"task_type": "x"}, "task_id": "t1"})
    event = (await api.get("/events?task=t1"))["events"][0]
    assert event.keys() == {"cursor", "at", "kind", "group", "task", "principal", "application", "data"}
    assert (event["kind"], event["task"], event["principal"]) == ("task.submitted", "t1", "local")
    assert isinstance(event["data"], dict)


@pytest.mark.parametrize(
    ("query", "status"),
    [("after=!!", 404), ("limit=0", 422), ("limit=1001", 422), ("since=soon", 422), ("since=12", 422)],
)
async def test_faulty_queries_are_refused(api: Caller, query: str, status: int):
    answer = await api.call("GET", f"/events?{query}")
    assert answer.status == status
    assert answer.body.keys() == {"detail", "code"}


async def test_stream_brings_what_happens_from_now_on(api: Caller):
    await register(api, "before")
    async with streaming(api, "?kind=agent.*") as stream:
        await register(api, "after")
        assert (await stream.event())["group"] == "after"


@pytest.mark.parametrize("by_header", [True, False])
async def test_stream_resumes_behind_a_cursor(api: Caller, by_header: bool):
    for agent_id in ("a1", "a2", "a3"):
        await register(api, agent_id)
    cursor = (await api.get("/events?group=a1"))["events"][0]["cursor"]
    query = "?kind=agent.*" + ("" if by_header else f"&after={cursor}")
    headers = {"Last-Event-ID": cursor} if by_header else {}
    async with streaming(api, query, **headers) as stream:
        assert [(await stream.event())["group"] for _ in range(2)] == ["a2", "a3"]


async def test_stream_with_a_faulty_cursor_is_refused(api: Caller):
    assert (await api.call("GET", "/events/stream?after=!!")).status == 404


async def test_silent_stream_shows_that_it_is_there(api: Caller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.02)
    async with streaming(api) as stream:
        assert await stream.block() == {"": "still here"}


async def test_slow_reader_is_dropped_with_a_notice(tmp_path: Path):
    settings = Settings()
    small = replace(settings, journal=replace(settings.journal, subscriber_queue=5))
    async with running_plane(tmp_path / "data", small) as plane:
        async with streaming(plane.main, "?kind=agent.*") as stream:
            # One burst is read by the tail at once: more than a reader's queue takes that had no turn.
            ids = [f"agent-{number}-{'x' * 200}" for number in range(400)]
            await asyncio.gather(*(register(plane.main, agent_id) for agent_id in ids))
            seen = []
            cursor = ""
            with pytest.raises(EOFError):
                while True:
                    fields = await stream.block()
                    if fields.get("event") == "dropped":
                        cursor = fields["id"]
                    elif "data" in fields:
                        seen.append(msgspec.json.decode(fields["data"])["group"])
        assert cursor
        rest = await plane.main.get(f"/events?kind=agent.*&limit=1000&after={cursor}")
        assert sorted(seen + [event["group"] for event in rest["events"]]) == sorted(ids)


async def test_stopping_server_ends_streams(tmp_path: Path):
    async with running_plane(tmp_path / "data") as plane, streaming(plane.main) as stream:
        stopping = asyncio.create_task(plane.control.stop())
        with pytest.raises(EOFError):
            while True:
                await stream.block()
        async with asyncio.timeout(5):
            await stopping
