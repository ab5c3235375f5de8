import pytest

from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.settings import JournalSettings
from stellwerk.traffic import memory as memories
from stellwerk.traffic.memory import GLOBAL, Memory, MemoryFull, MemoryScope, Place
from stellwerk.trust.principal import LOCAL
from support.clock import FakeClock

RUN = Place(MemoryScope.WORKFLOW, "run-1")
SESSION = Place(MemoryScope.SESSION, "s-1")


def memory_of(database: Database) -> tuple[Memory, Journal]:
    journal = Journal(database, JournalSettings(), FakeClock())
    return Memory(database, journal, FakeClock()), journal


async def test_value_is_read_from_the_first_place_that_has_it(database: Database) -> None:
    memory, _ = memory_of(database)
    await memory.put(LOCAL, GLOBAL, "k", "1")
    await memory.put(LOCAL, SESSION, "k", '{"two":2}')
    found = await memory.get([RUN, SESSION, GLOBAL], "k")
    assert found is not None
    assert (found.scope, found.scope_id, found.value) == ("session", "s-1", '{"two":2}')
    assert await memory.get([RUN], "k") is None
    assert await memory.get([], "k") is None


async def test_value_that_is_set_again_keeps_its_birth(database: Database) -> None:
    memory, _ = memory_of(database)
    first = await memory.put(LOCAL, RUN, "k", "1")
    again = await memory.put(LOCAL, RUN, "k", "null")
    assert (again.created_at, again.value) == (first.created_at, "null")
    assert [one.key for one in await memory.list(RUN)] == ["k"]


async def test_what_is_deleted_is_gone_once(database: Database) -> None:
    memory, journal = memory_of(database)
    await memory.put(LOCAL, RUN, "k", '"hush"')
    assert await memory.delete(LOCAL, RUN, "k", by_agent="hello")
    assert not await memory.delete(LOCAL, RUN, "k")
    assert await memory.get([RUN], "k") is None
    events = (await journal.page()).events
    assert [(event.kind, event.group) for event in events] == [
        ("memory.set", None),
        ("memory.deleted", "hello"),
    ]
    assert "hush" not in repr(events)


async def test_list_goes_on_behind_a_key_and_shows_no_values(database: Database) -> None:
    memory, _ = memory_of(database)
    for key in ("c", "a", "b"):
        await memory.put(LOCAL, SESSION, key, '"hush"')
    await memory.put(LOCAL, Place(MemoryScope.SESSION, "s-2"), "z", "1")
    assert [(one.key, one.value) for one in await memory.list(SESSION, after="a")] == [("b", ""), ("c", "")]


async def test_full_place_takes_known_keys_only(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "KEYS_PER_PLACE", 2)
    memory, _ = memory_of(database)
    for key in ("a", "b", "a"):
        await memory.put(LOCAL, RUN, key, "1")
    with pytest.raises(MemoryFull):
        await memory.put(LOCAL, RUN, "c", "1")
    assert [one.key for one in await memory.list(RUN)] == ["a", "b"]
    await memory.put(LOCAL, SESSION, "c", "1")
