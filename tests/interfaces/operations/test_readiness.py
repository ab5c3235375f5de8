"""Readiness: the database and every loop, killed, stalled and faulty for real."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stellwerk import loop as loops
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.sqlite import SqliteDatabase
from stellwerk.fleet.service import Fleet
from stellwerk.interfaces.operations import readiness
from stellwerk.interfaces.operations.readiness import Component, check
from stellwerk.journal import tail
from stellwerk.work.sweeper import Sweeper
from support.plane import Caller, Plane

from .test_events import register, streaming

LOOPS = {
    "access.audit",
    "coordinator.push",
    "coordinator.sockets",
    "deployment.streams",
    "deployment.vouching",
    "fleet.flush",
    "fleet.sweep",
    "journal.prune",
    "journal.tail",
    "trust.api_keys",
    "trust.certificates",
    "trust.upkeep",
    "work.balancing",
    "work.dispatch",
    "work.ended",
    "work.ready",
    "work.stopping",
    "work.sweep",
}
"""Some of those of one process on SQLite without TLS."""


@pytest.fixture
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "KEPT_S", -1.0)


async def wrong(api: Caller) -> dict[str, str]:
    """Return what is wrong, by component."""
    answer = await api.call("GET", "/ready")
    parts = {name: part["detail"] for name, part in answer.body["components"].items() if "detail" in part}
    assert (answer.status, answer.body["status"]) == ((503, "not_ready") if parts else (200, "ready"))
    return parts


async def until(api: Caller, holds: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    async with asyncio.timeout(10):
        while not holds(parts := await wrong(api)):  # noqa: ASYNC110 (only asking tells)
            await asyncio.sleep(0.01)
    return parts


async def test_ready_names_its_parts(api: Caller):
    ready = await api.get("/ready")
    assert ready["status"] == "ready"
    assert ready["components"].keys() > LOOPS
    assert ready["components"]["database"] == {"status": "ok", "essential": True}
    assert (await api.get("/ready?strict=true"))["status"] == "ready"


async def test_ready_is_503_without_the_database(plane: Plane, monkeypatch: pytest.MonkeyPatch):
    async def gone(*_: object) -> None:
        raise DatabaseUnavailable("the disk is full")

    monkeypatch.setattr(SqliteDatabase, "write", gone)
    answer = await plane.main.call("GET", "/ready")
    assert (answer.status, answer.body["status"]) == (503, "not_ready")
    assert answer.body["components"]["database"]["detail"] == "the disk is full"
    assert (await plane.main.call("GET", "/health")).status == 200


async def test_part_that_fails_in_any_way_is_not_well():
    async def raises() -> str | None:
        raise RuntimeError("broken")

    assert (await check(Component("x", raises))).detail == "broken"


async def test_ready_is_503_when_any_loop_is_gone(looked_at_each_time: None, plane: Plane):
    async with streaming(plane.main) as stream:
        await register(plane.main, "a1")
        await stream.event()  # The journal's tail begins with the first reader.
        names = (await plane.main.get("/ready"))["components"].keys() - {"database"}
        running = {task.get_name(): task for task in asyncio.all_tasks() if task.get_name() in names}
        assert running.keys() == names >= LOOPS
        gone: set[str] = set()
        for name in sorted(names):
            running[name].cancel()
            await asyncio.wait([running[name]])
            gone.add(name)
            parts = await wrong(plane.main)
            assert parts == dict.fromkeys(gone, "it has ended although nobody stopped it")
        # Somebody who watches from outside is to decide: requests are answered all the same.
        assert (await plane.main.call("GET", "/health")).status == 200
        # The tail is gone: its streams would never end.
        await asyncio.wait_for(plane.control.stop(), 10)


async def test_ready_is_503_while_a_loop_hangs(
    looked_at_each_time: None, plane: Plane, monkeypatch: pytest.MonkeyPatch
):
    goes_on = asyncio.Event()
    step: Callable[[Sweeper], Awaitable[None]] = Sweeper.sweep

    async def hangs(self: Sweeper) -> None:
        self.loop._turn_s = 0.05
        self.loop.advance()
        await goes_on.wait()
        await step(self)

    monkeypatch.setattr(Sweeper, "sweep", hangs)
    parts = await until(plane.main, bool)
    assert parts.keys() == {"work.sweep"}
    assert parts["work.sweep"].startswith("it hangs: nothing was heard of it for ")
    monkeypatch.setattr(Sweeper, "sweep", step)
    goes_on.set()
    await until(plane.main, lambda parts: not parts)


async def test_faulty_loop_begins_again_and_ready_tells_until_it_is_well(
    looked_at_each_time: None,
    plane: Plane,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(loops, "FIRST_PAUSE_S", 0.02)
    step: Callable[[Fleet, int], Awaitable[None]] = Fleet.sweep
    fails = True

    async def faulty(self: Fleet, now_us: int) -> None:
        if fails:
            raise ZeroDivisionError("a bug")
        await step(self, now_us)

    monkeypatch.setattr(Fleet, "sweep", faulty)
    parts = await until(plane.main, bool)
    assert parts == {"fleet.sweep": "it ended by a fault and begins again: ZeroDivisionError: a bug"}
    faults = b'stellwerk_loop_faults{loop="fleet.sweep"} '
    (line,) = [one for one in (await plane.metrics.get("/metrics")).splitlines() if one.startswith(faults)]
    assert float(line.removeprefix(faults)) >= 1
    fails = False
    await until(plane.main, lambda parts: not parts)
    log = capsys.readouterr()
    assert "a loop ended by a fault; it begins again" in log.out + log.err


async def test_stream_goes_on_after_a_fault_of_the_tail(
    looked_at_each_time: None, plane: Plane, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loops, "FIRST_PAUSE_S", 0.02)
    read: Any = tail.read_new
    faults = 2

    def faulty(*given: Any) -> Any:
        nonlocal faults
        if faults:
            faults -= 1
            raise KeyError("a bug")
        return read(*given)

    async with streaming(plane.main, "?kind=agent.registered") as stream:
        await register(plane.main, "a1")
        assert (await stream.event())["group"] == "a1"
        monkeypatch.setattr(tail, "read_new", faulty)
        for agent in ("a2", "a3"):
            await register(plane.main, agent)
        assert [(await stream.event())["group"] for _ in range(2)] == ["a2", "a3"]
        assert faults == 0
        await until(plane.main, lambda parts: not parts)
