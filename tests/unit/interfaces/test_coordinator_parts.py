"""Parts of the coordinator interface by themselves: words, rendering, outbox, breaker, aliases."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from stellwerk.fleet.model import Condition, Presence
from stellwerk.http import outbox
from stellwerk.http.instants import iso, microseconds
from stellwerk.http.outbox import Outbox
from stellwerk.interfaces.coordinator import aliases
from stellwerk.interfaces.coordinator.breaker import Breaker
from stellwerk.interfaces.coordinator.rendering import Agents
from stellwerk.interfaces.coordinator.wire import frames
from stellwerk.interfaces.coordinator.words import AgentStatus, project_status, standings
from support.fleet import agent_view


def test_silence_outweighs_what_was_declared():
    for declared in Condition:
        assert project_status(declared, Presence.ONLINE).value == declared.value
        assert project_status(declared, Presence.LATE) is AgentStatus.STALE
        assert project_status(declared, Presence.OFFLINE) is AgentStatus.INACTIVE


def test_standings_of_a_word_are_those_that_are_projected_to_it():
    for word in AgentStatus:
        assert {project_status(*standing) for standing in standings(word.value)} == {word}
    assert sum(len(standings(word.value)) for word in AgentStatus) == len(Condition) * len(Presence)
    assert standings("asleep") == frozenset()


def test_instants_are_written_with_microseconds_and_offset():
    assert iso(1_795_297_423_666_595) == "2026-11-21T21:43:43.666595+00:00"
    assert iso(0) == "1970-01-01T00:00:00.000000+00:00"
    there = datetime.fromisoformat("2026-11-21T22:43:43.666595+01:00")
    assert microseconds(there) == 1_795_297_423_666_595
    assert microseconds(there.astimezone(UTC).replace(tzinfo=None)) == 1_795_297_423_666_595


def test_rendered_agent_is_kept_until_it_changes():
    agents = Agents()
    view = agent_view("a1", capabilities=("x",))
    first = agents.render(view)
    assert agents.render(view) is first
    newer = msgspec.structs.replace(view, revision=view.revision + 1, version="2")
    assert agents.render(newer) is not first
    assert msgspec.json.decode(agents.render(newer))["version"] == "2"
    assert agents.render_all([newer, newer]) == b"[%b,%b]" % ((agents.render(newer),) * 2)
    agents.forget("a1")
    assert agents.render(newer) == agents.render_all([newer])[1:-1]


def test_listing_a_thousand_agents_that_have_not_changed_is_a_join():
    agents = Agents()
    views = [agent_view(f"agent-{number}", capabilities=("a", "b", "c")) for number in range(1000)]
    agents.render_all(views)
    best = min(timed(lambda: agents.render_all(views)) for _ in range(5))
    # Measured 0.2 ms; the bound of the whole discovery is 2.5 ms.
    assert best < 0.0025


def timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_aliases_are_owned_and_rewritten():
    for path, plain in (
        ("/v1/agents/a1", "/agents/a1"),
        ("/v1/tasks/submit", "/tasks/submit"),
        ("/api/v1/agent/messages/load-balancer/stats", "/load-balancer/stats"),
        ("/registry/ws", "/ws"),
    ):
        assert aliases.owns(path)
        assert aliases.rewrite(path) == plain
    for path in ("/agents/a1", "/tasks", "/health", "/", "/ws", "/registry/stats"):
        assert aliases.owns(path)
        assert aliases.rewrite(path) is None
    for path in ("/agentsx", "/v1/agentsx", "/v2/agents", "/events", "/docs", "/api/v1/agent/messages/send"):
        assert not aliases.owns(path)


def test_breaker_opens_after_failures_in_a_row_and_closes_after_a_pause():
    breaker = Breaker(3, 10.0)
    assert [breaker.failed(0.0), breaker.failed(0.0)] == [False, False]
    breaker.succeeded()
    assert [breaker.failed(1.0) for _ in range(3)] == [False, False, True]
    assert breaker.is_open(5.0)
    assert not breaker.failed(5.0)
    assert not breaker.is_open(11.0)
    assert breaker.failed(11.0)
    breaker.succeeded()
    assert not breaker.failed(30.0)


class Wire:
    """A peer that reads when it is let."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.failed: list[bool] = []

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.messages.append(message["text"])


async def test_waiting_frames_are_joined_into_one_message():
    wire = Wire()
    box = Outbox(wire.send, wire.failed.append)
    box.put(b"1")
    await box.drained(1)
    for frame in (b"2", b"3", b"4"):
        box.put(frame)
    await box.drained(1)
    assert wire.messages == ["1", "[2,3,4]"]


async def test_joined_messages_stay_below_their_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "MESSAGE_BYTES", 10)
    wire = Wire()
    box = Outbox(wire.send, wire.failed.append)
    for frame in (b"1" * 6, b"2" * 6, b"3" * 20, b"4"):
        box.put(frame)
    await box.drained(1)
    assert wire.messages == ["111111", "222222", "3" * 20, "4"]


async def test_peer_that_does_not_read_fails_the_outbox_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "STUCK_BYTES", 10)
    wire = Wire()
    wire.reads.clear()
    box = Outbox(wire.send, wire.failed.append)
    box.put(b"1")
    await asyncio.sleep(0)
    box.put(b"2" * 100)
    assert wire.failed == []
    monkeypatch.setattr(outbox, "PATIENCE_S", -1.0)
    assert box.stuck
    box.put(b"3" * 100)
    box.put(b"4")
    assert (wire.failed, box.closed) == ([True], True)
    box.close()


async def test_broken_connection_fails_the_outbox():
    async def broken(_: dict[str, Any]) -> None:
        raise OSError

    failed: list[bool] = []
    box = Outbox(broken, failed.append)
    box.put(b"1")
    await box.drained(1)
    assert failed == [False]


async def test_idle_outbox_has_no_task():
    wire = Wire()
    box = Outbox(wire.send, wire.failed.append)
    box.put(b"1")
    await box.drained(1)
    assert len(asyncio.all_tasks()) == 1


def test_frames_are_objects_or_arrays_of_them():
    accept = frames.Accept("t1", 3)
    assert frames.decode(b'{"type":"accept","task_id":"t1","lease":3,"more":1}') == [accept]
    assert frames.decode('[{"type":"accept","task_id":"t1","lease":3},{"type":"goodbye"}]') == [
        accept,
        frames.Goodbye(),
    ]
