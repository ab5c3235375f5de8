"""Background loops: woken, begun again, stopped, and what they say of themselves."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from stellwerk import loop as loops
from stellwerk.loop import Loop
from support.work import until


class Body:
    """A body that counts its turns and does in each what the test says."""

    def __init__(self, at_most_s: float | None = None, **options: object) -> None:
        self.loop = Loop("test", self.run, **options)  # type: ignore[arg-type]
        self.turns = 0
        self.finished = 0
        self.at_most_s = at_most_s
        self.fault: Exception | None = None
        self.holds = asyncio.Event()
        self.holds.set()

    async def run(self) -> None:
        while await self.loop.rest(self.at_most_s):
            self.turns += 1
            await self.holds.wait()
            if self.fault is not None:
                raise self.fault
            self.finished += 1

    async def turned(self, turns: int) -> None:
        await until(lambda: self.finished >= turns)


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Body]]:
    monkeypatch.setattr(loops, "FIRST_PAUSE_S", 0.02)
    made: list[Body] = []

    def body(at_most_s: float | None = None, **options: object) -> Body:
        made.append(Body(at_most_s, **options))
        return made[-1]

    yield body
    for one in made:
        one.holds.set()
        await one.loop.stop()


async def test_a_wake_leads_to_a_turn_and_one_during_a_turn_to_one_more(make: Callable[..., Body]) -> None:
    body = make()
    body.loop.start()
    body.holds.clear()
    body.loop.wake()
    await until(lambda: body.turns == 1)
    for _ in range(5):
        body.loop.wake()
    body.holds.set()
    await body.turned(2)
    await asyncio.sleep(0.02)
    assert (body.turns, body.loop.wrong()) == (2, None)


async def test_time_leads_to_a_turn_as_well(make: Callable[..., Body]) -> None:
    body = make(0.001)
    body.loop.start()
    await body.turned(3)
    assert not body.loop.hinted


async def test_a_fault_is_seen_until_a_whole_turn_went_well(make: Callable[..., Body]) -> None:
    body = make(60.0)
    body.fault = ValueError("no such column")
    body.loop.start()
    body.loop.wake()
    await until(lambda: body.loop.faults > 2)
    assert body.loop.wrong() == "it ended by a fault and begins again: ValueError: no such column"
    assert body.loop.running
    body.fault = None
    # The loop would rest for a minute, but shows at once that it is well.
    await until(lambda: body.loop.wrong() is None)
    assert body.finished == 1


async def test_a_turn_that_hangs_is_seen_and_a_long_rest_is_not(make: Callable[..., Body]) -> None:
    body = make(turn_s=0.03)
    body.loop.start()
    await asyncio.sleep(0.06)
    assert body.loop.wrong() is None
    body.holds.clear()
    body.loop.wake()
    await until(lambda: body.loop.wrong() is not None)
    assert str(body.loop.wrong()).startswith("it hangs")
    body.holds.set()
    await until(lambda: body.loop.wrong() is None)


async def test_a_long_turn_that_says_that_it_goes_on_is_well(make: Callable[..., Body]) -> None:
    body = make(turn_s=0.05)
    body.loop.start()
    body.holds.clear()
    body.loop.wake()
    for _ in range(10):
        await asyncio.sleep(0.01)
        body.loop.advance()
        assert body.loop.wrong() is None


async def test_a_task_that_ended_without_a_stop_is_seen(make: Callable[..., Body]) -> None:
    body = make()
    body.loop.start()
    await asyncio.sleep(0)
    (task,) = [one for one in asyncio.all_tasks() if one.get_name() == "test"]
    task.cancel()
    await asyncio.wait([task])
    assert (body.loop.running, body.loop.wrong()) == (False, "it has ended although nobody stopped it")
    await body.loop.stop()
    assert body.loop.wrong() is None


async def test_a_body_that_returns_by_itself_is_seen() -> None:
    async def nothing() -> None:
        return

    loop = Loop("test", nothing)
    loop.start()
    await until(lambda: loop.wrong() is not None)
    await loop.stop()


async def test_a_stop_waits_for_the_turn_of_a_loop_that_finishes(make: Callable[..., Body]) -> None:
    body = make(finishes=True)
    body.loop.start()
    body.holds.clear()
    body.loop.wake()
    await until(lambda: body.turns == 1)
    stopping = asyncio.create_task(body.loop.stop())
    await asyncio.sleep(0.01)
    assert (stopping.done(), body.loop.stopping) == (False, True)
    body.holds.set()
    await stopping
    assert body.finished == 1


async def test_a_stop_ends_the_turn_of_another(make: Callable[..., Body]) -> None:
    body = make()
    body.loop.start()
    body.holds.clear()
    body.loop.wake()
    await until(lambda: body.turns == 1)
    await body.loop.stop()
    assert body.finished == 0


async def test_a_loop_may_be_started_again(make: Callable[..., Body]) -> None:
    body = make()
    for turns in (1, 2):
        body.loop.start()
        body.loop.start()
        body.loop.wake()
        await body.turned(turns)
        await body.loop.stop()
        await body.loop.stop()
    assert body.turns == 2


async def test_a_stop_does_not_wait_for_the_pause_after_a_fault(
    make: Callable[..., Body], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "FIRST_PAUSE_S", 60.0)
    body = make(finishes=True)
    body.fault = ValueError()
    body.loop.start()
    body.loop.wake()
    await until(lambda: body.loop.faults == 1)
    async with asyncio.timeout(1):
        await body.loop.stop()
