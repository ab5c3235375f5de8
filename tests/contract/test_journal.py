"""What the journal promises on both engines."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stellwerk.database.database import Database
from stellwerk.database.unit import PerEngine, Sql, Unit
from stellwerk.journal import reading
from stellwerk.journal.event import Dropped, Event, EventFilter, Recorded, Retention
from stellwerk.journal.newest import Look
from stellwerk.journal.position import Position, UnknownCursor, to_cursor
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append, append_many
from stellwerk.journal.tail import Subscription
from stellwerk.settings import JournalSettings
from support.clock import FakeClock

DAY_S = 86_400


def event(number: int, kind: str = "task.submitted", retention: Retention = Retention.TASK) -> Event:
    return Event(kind, retention, group=f"g{number % 3}", task=f"t{number}", data=f'{{"n":{number}}}')


def slow_append(number: int) -> Unit[None]:
    """Append with pauses, so that PostgreSQL numbers transactions and rows in different orders."""
    pause = PerEngine(sqlite="SELECT $1", postgres="SELECT pg_sleep($1)")
    yield Sql(PerEngine(sqlite="SELECT 1", postgres="SELECT pg_current_xact_id()::text"))
    yield Sql(pause, (random.uniform(0, 0.01),))
    yield from append(event(number), number)
    yield Sql(pause, (random.uniform(0, 0.01),))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def opened(database: Database, clock: FakeClock, **settings: float) -> AsyncIterator[Journal]:
    journal = Journal(database, JournalSettings(**settings), clock)  # type: ignore[arg-type]
    try:
        yield journal
    finally:
        await journal.stop()


@pytest.fixture
async def journal(database: Database, clock: FakeClock) -> AsyncIterator[Journal]:
    async with opened(database, clock) as journal:
        yield journal


async def take(stream: Subscription, count: int) -> list[Recorded | Dropped]:
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


def tasks(items: list[Recorded | Dropped]) -> list[str | None]:
    return [item.task if isinstance(item, Recorded) else "dropped" for item in items]


async def test_an_event_comes_back_as_it_was_recorded(journal: Journal, clock: FakeClock) -> None:
    await journal.record(Event("agent.late", Retention.FLEET, "g", "t", "key:1", "app", '{"old":"online"}'))
    (recorded,) = (await journal.page()).events
    assert recorded == Recorded(
        cursor=recorded.cursor,
        at=clock.now_us(),
        kind="agent.late",
        retention=Retention.FLEET,
        group="g",
        task="t",
        principal="key:1",
        application="app",
        data='{"old":"online"}',
    )


async def test_events_of_a_unit_that_is_undone_are_not_recorded(database: Database, journal: Journal) -> None:
    def unit() -> Unit[None]:
        yield from append(event(1), 1)
        raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await database.write(unit)
    assert (await journal.page()).events == ()


async def test_many_events_keep_their_order(database: Database, journal: Journal) -> None:
    await database.write(lambda: append_many([event(i) for i in range(50)], 1))
    assert [e.task for e in (await journal.page()).events] == [f"t{i}" for i in range(50)]


async def test_pages_follow_each_other_without_gap(database: Database, journal: Journal) -> None:
    await database.write(lambda: append_many([event(i) for i in range(25)], 1))
    seen, cursor, more = [], None, True
    while more:
        page = await journal.page(after=cursor, limit=10)
        seen += [e.task for e in page.events]
        cursor, more = page.next, page.more
    assert seen == [f"t{i}" for i in range(25)]
    assert (await journal.page(after=cursor)).events == ()


async def test_the_cursor_of_any_event_goes_on_right_behind_it(database: Database, journal: Journal) -> None:
    await database.write(lambda: append_many([event(i) for i in range(10)], 1))
    events = (await journal.page()).events
    rest = await journal.page(after=events[3].cursor)
    assert rest.events == events[4:]


async def test_the_last_page_s_cursor_finds_what_comes_later(journal: Journal) -> None:
    empty = await journal.page()
    await journal.record(event(1))
    page = await journal.page(after=empty.next)
    await journal.record(event(2))
    assert [e.task for e in page.events] == ["t1"]
    assert [e.task for e in (await journal.page(after=page.next)).events] == ["t2"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EventFilter(kinds=("task.dead",)), [3]),
        (EventFilter(kinds=("task.*",)), [0, 1, 2, 3]),
        (EventFilter(kinds=("agent.*", "task.dead")), [3, 4]),
        (EventFilter(kinds=("tas.*",)), []),
        (EventFilter(group="g1"), [1, 4]),
        (EventFilter(task="t2"), [2]),
        (EventFilter(task="t2", group="g0"), []),
        (EventFilter(principal="key:1"), [5]),
        (EventFilter(application="shop"), [5]),
        (EventFilter(since=102, until=104), [2, 3]),
        (EventFilter(since=10**18), []),
        (EventFilter(group="g1", kinds=("agent.*",), since=1), [4]),
    ],
)
async def test_a_filter_finds_what_it_says(
    database: Database, journal: Journal, wanted: EventFilter, found: list[int]
) -> None:
    events = [event(0), event(1), event(2), event(3, "task.dead"), event(4, "agent.late", Retention.FLEET)]
    events.append(Event("key.created", Retention.AUDIT, None, "t5", "key:1", "shop"))
    for number, one in enumerate(events):
        await database.write(append(one, 100 + number))
    page = await journal.page(wanted)
    assert [e.task for e in page.events] == [f"t{number}" for number in found]
    assert not page.more


async def test_since_starts_near_its_instant_and_misses_nothing(database: Database, journal: Journal) -> None:
    minute = 60_000_000
    for number in range(200):
        # Clocks of replicas differ by some seconds.
        at = number * minute + random.randrange(-5_000_000, 5_000_000) + 10**9
        await database.write(append(event(number), at))
    since = 100 * minute + 10**9
    expected = [e.task for e in (await journal.page(limit=500)).events if e.at >= since]
    assert [e.task for e in (await journal.page(EventFilter(since=since), limit=500)).events] == expected


async def test_a_page_looks_at_a_bounded_number_of_rows(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WINDOW", 10)
    await database.write(lambda: append_many([event(i) for i in range(35)], 1))
    await journal.record(event(35, "agent.late"))
    wanted = EventFilter(kinds=("agent.late",))
    pages = [await journal.page(wanted)]
    while pages[-1].more:
        pages.append(await journal.page(wanted, after=pages[-1].next))
    assert [[e.task for e in page.events] for page in pages] == [[], [], [], ["t35"]]


@pytest.mark.parametrize("cursor", ["", "x", "MS54LjE", "MS4tMS4x", "Mi4wLjE", "é", "A" * 5000])
async def test_a_cursor_that_is_none_is_refused(journal: Journal, cursor: str) -> None:
    with pytest.raises(UnknownCursor):
        await journal.page(after=cursor)


async def test_a_cursor_ahead_of_the_journal_is_refused(journal: Journal) -> None:
    await journal.record(event(1))
    with pytest.raises(UnknownCursor, match="backup"):
        await journal.page(after=to_cursor(Position(2**60, 2**60)))


async def test_a_reader_sees_each_event_once_and_in_one_order_under_concurrent_writers(
    database: Database, journal: Journal
) -> None:
    count = 150
    writers = asyncio.gather(*(database.write(lambda n=n: slow_append(n)) for n in range(count)))
    seen: list[Recorded] = []
    cursor = await journal.end()
    while not (writers.done() and len(seen) >= count):
        page = await journal.page(after=cursor, limit=random.randint(1, 20))
        seen += page.events
        cursor = page.next
        assert len(seen) <= count
    await writers
    assert sorted(e.task or "" for e in seen) == sorted(f"t{n}" for n in range(count))
    assert list((await journal.page(limit=1000)).events) == seen


async def test_a_stream_sees_each_event_once_under_concurrent_writers(
    database: Database, clock: FakeClock
) -> None:
    async with opened(database, clock, poll_s=0.05) as journal:
        stream = journal.subscribe()
        await stream.start()
        writers = asyncio.gather(*(database.write(lambda n=n: slow_append(n)) for n in range(150)))
        seen = await take(stream, 150)
        await writers
        assert [e.cursor for e in (await journal.page(limit=1000)).events] == [item.cursor for item in seen]


async def test_a_new_stream_begins_now(journal: Journal) -> None:
    await journal.record(event(1))
    stream = journal.subscribe()
    await stream.start()
    await journal.record(event(2))
    assert tasks(await take(stream, 1)) == ["t2"]


async def test_a_resumed_stream_has_no_gap(database: Database, journal: Journal) -> None:
    await database.write(lambda: append_many([event(i) for i in range(1200)], 1))
    first = journal.subscribe(after=to_cursor(Position(0, 0)))
    seen = await take(first, 700)
    first.close()
    second = journal.subscribe(after=seen[-1].cursor)
    seen += await take(second, 500)
    await journal.record(event(1200))
    seen += await take(second, 1)
    assert tasks(seen) == [f"t{i}" for i in range(1201)]


async def test_streams_get_what_they_want(journal: Journal) -> None:
    dead, all_tasks = journal.subscribe(EventFilter(kinds=("task.dead",))), journal.subscribe()
    await dead.start()
    await all_tasks.start()
    waiting = asyncio.gather(take(dead, 1), take(all_tasks, 3))
    for number, kind in enumerate(("task.submitted", "task.dead", "task.failed")):
        await journal.record(event(number, kind))
    first, second = await waiting
    assert (tasks(first), tasks(second)) == (["t1"], ["t0", "t1", "t2"])


async def test_a_slow_reader_is_dropped_with_a_notice_and_comes_back_without_a_gap(
    database: Database, clock: FakeClock
) -> None:
    async with opened(database, clock, subscriber_queue=10) as journal:
        slow, quick = journal.subscribe(), journal.subscribe()
        await journal.record(event(0))
        for stream in (slow, quick):
            await stream.start()
        for number in range(1, 42):
            await journal.record(event(number))
            assert tasks(await take(quick, 1)) == [f"t{number}"]
            if number == 1:
                assert tasks(await take(slow, 1)) == ["t1"]
        seen = await take(slow, 11)
        assert tasks(seen) == [*(f"t{n}" for n in range(2, 12)), "dropped"]
        with pytest.raises(StopAsyncIteration):
            await anext(slow)
        assert isinstance(seen[-1], Dropped)
        again = journal.subscribe(after=seen[-1].cursor)
        assert tasks(await take(again, 30)) == [f"t{n}" for n in range(12, 42)]


async def test_streams_end_when_the_journal_stops(journal: Journal) -> None:
    stream = journal.subscribe()
    waiting = asyncio.create_task(take(stream, 1))
    await asyncio.sleep(0.05)
    await journal.stop()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_stream_after_the_journal_has_stopped_ends_at_once(journal: Journal) -> None:
    await journal.stop()
    with pytest.raises(StopAsyncIteration):
        await anext(journal.subscribe())


async def test_the_tail_rests_when_the_last_stream_is_closed_and_starts_again(journal: Journal) -> None:
    for number in range(3):
        stream = journal.subscribe()
        await stream.start()
        await journal.record(event(number))
        assert tasks(await take(stream, 1)) == [f"t{number}"]
        stream.close()
        stream.close()


async def test_each_class_is_pruned_after_its_own_time(journal: Journal, clock: FakeClock) -> None:
    for number, retention in enumerate((Retention.TASK, Retention.FLEET, Retention.AUDIT)):
        await journal.record(event(number, retention=retention))
    clock.advance(6 * DAY_S)
    await journal.record(event(3))
    assert await journal.prune(clock.now_us()) == 0
    clock.advance(1.5 * DAY_S)
    assert await journal.prune(clock.now_us()) == 1
    assert await journal.prune(clock.now_us()) == 0
    assert [e.task for e in (await journal.page()).events] == ["t1", "t2", "t3"]
    clock.advance(30 * DAY_S)
    await journal.record(event(4))
    assert await journal.prune(clock.now_us()) == 2
    assert [e.task for e in (await journal.page()).events] == ["t2", "t4"]


async def test_pruning_goes_in_steps_and_removes_all(
    database: Database, journal: Journal, clock: FakeClock
) -> None:
    await database.write(lambda: append_many([event(i) for i in range(2500)], 1))
    await journal.record(event(2500))
    assert await journal.prune(clock.now_us()) == 2500
    assert [e.task for e in (await journal.page()).events] == ["t2500"]


async def test_cursors_stay_good_when_everything_has_been_pruned(
    database: Database, journal: Journal, clock: FakeClock
) -> None:
    await database.write(lambda: append_many([event(i) for i in range(10)], 1))
    cursor = (await journal.page()).next
    await journal.prune(clock.now_us())
    await journal.record(event(10))
    await database.write(append(event(11), 1))
    await journal.prune(clock.now_us())
    rest = await journal.page(after=cursor)
    assert rest.events[0].task == "t10"


async def test_what_happened_to_an_application_is_read_newest_first_and_cleared(database: Database) -> None:
    journal = Journal(database, JournalSettings(), FakeClock())

    def happened(number: int, level: str, application: str = "shop") -> Event:
        data = f'{{"type": "{level}", "n": {number}}}'
        return Event(
            "deploy.object.x", Retention.TASK, group=f"g{number % 2}", application=application, data=data
        )

    def write() -> Unit[None]:
        yield from append(happened(1, "error"), 1_000)
        yield from append(happened(2, "info"), 2_000)
        yield from append(happened(3, "error"), 3_000)
        yield from append(happened(4, "error", "bank"), 3_500)
        yield from append(event(5), 4_000)

    await database.write(write)

    async def ats(look: Look, limit: int = 10, offset: int = 0) -> tuple[list[int], int]:
        found, total = await journal.newest(look, limit, offset)
        return [one.at for one in found], total

    assert await ats(Look("shop")) == ([3_000, 2_000, 1_000], 3)
    assert await ats(Look("shop"), 1, 1) == ([2_000], 3)
    assert await ats(Look("shop", "error")) == ([3_000, 1_000], 2)
    assert await ats(Look("shop", resource="g0")) == ([2_000], 1)
    assert await ats(Look("shop", since=2_000, until=2_000)) == ([2_000], 1)
    assert await journal.clear("shop", 3_000) == 2
    assert await ats(Look("shop")) == ([3_000], 1)
    assert await ats(Look("bank")) == ([3_500], 1)
