"""What both engines promise of units of work."""

import asyncio
from pathlib import Path

import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.database.errors import DatabaseUnavailable, WriteRefused
from stellwerk.database.unit import Add, PerEngine, Row, Sql, Unit
from stellwerk.settings import DatabaseSettings
from support.units import Refused, names, put, put_many, put_then_raise, sleep


def count_one() -> Unit[None]:
    yield Add("x", 1)


async def test_a_write_answers_what_its_unit_returns(database: Database) -> None:
    assert await database.write(put("a")) == "a"
    assert await database.write(lambda: put("b")) == "b"
    assert await database.read(names) == ["a", "b"]


async def test_many_rows_are_written_by_one_statement(database: Database) -> None:
    await database.write(lambda: put_many(["a", "b", "c"]))
    assert await database.read(names()) == ["a", "b", "c"]


async def test_many_of_nothing_writes_nothing(database: Database) -> None:
    await database.write(lambda: put_many([]))
    assert await database.read(names()) == []


async def test_rows_are_tuples_and_values_keep_their_types(database: Database) -> None:
    def unit() -> Unit[list[Row]]:
        yield Sql("INSERT INTO locks (name, holder, fence, expires_at) VALUES ('n', '', $1, 0)", (2**62,))
        return (yield Sql("SELECT fence, name, holder, CAST($1 AS DOUBLE PRECISION) FROM locks", (0.5,)))

    assert await database.write(unit) == [(2**62, "n", "", 0.5)]


async def test_parameters_may_be_used_twice_and_in_any_order(database: Database) -> None:
    def unit() -> Unit[list[Row]]:
        yield Sql("INSERT INTO settings_kv (updated_at, name, value) VALUES ($2, $1, $1)", ("x", 7))
        return (yield Sql("SELECT name, value, updated_at FROM settings_kv"))

    assert await database.write(unit) == [("x", "x", 7)]


async def test_a_text_per_engine_reaches_its_engine(database: Database) -> None:
    def unit() -> Unit[str]:
        return str((yield Sql(PerEngine(sqlite="SELECT 'sqlite'", postgres="SELECT 'postgres'")))[0][0])

    assert await database.read(unit) == database.engine


async def test_what_a_unit_raises_comes_out_and_undoes_only_that_unit(database: Database) -> None:
    units = [put_then_raise(f"bad{i}") if i % 3 == 0 else put(f"good{i:02}") for i in range(40)]
    answers = await asyncio.gather(*(database.write(unit) for unit in units), return_exceptions=True)
    assert [isinstance(answer, Refused) for answer in answers] == [i % 3 == 0 for i in range(40)]
    assert await database.read(names) == [f"good{i:02}" for i in range(40) if i % 3]


async def test_a_lone_unit_that_raises_is_undone(database: Database) -> None:
    with pytest.raises(Refused):
        await database.write(put_then_raise("a"))
    assert await database.read(names) == []


async def test_a_failing_statement_undoes_only_its_unit(database: Database) -> None:
    await database.write(put("taken"))
    answers = await asyncio.gather(
        *(database.write(put(name)) for name in ("a", "taken", "b")), return_exceptions=True
    )
    assert answers[0] == "a"
    assert isinstance(answers[1], Exception)
    assert not isinstance(answers[1], DatabaseUnavailable)
    assert await database.read(names) == ["a", "b", "taken"]


async def test_a_unit_that_fails_before_its_first_statement_harms_nobody(database: Database) -> None:
    def unit() -> Unit[None]:
        raise Refused
        yield

    answers = await asyncio.gather(
        database.write(put("a")), database.write(unit), database.write(put("b")), return_exceptions=True
    )
    assert isinstance(answers[1], Refused)
    assert await database.read(names) == ["a", "b"]


async def test_a_unit_is_closed_when_its_statement_fails(database: Database) -> None:
    closed = []

    def unit() -> Unit[None]:
        try:
            yield Sql("SELECT no_such_column FROM settings_kv")
        finally:
            closed.append(True)

    with pytest.raises(Exception, match="no_such_column"):
        await database.write(unit)
    assert closed == [True]


async def test_a_cancelled_caller_harms_nobody(database: Database) -> None:
    writes = [asyncio.create_task(database.write(put(f"n{i}"))) for i in range(20)]
    await asyncio.sleep(0)
    writes[7].cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    await asyncio.gather(*(database.write(put(f"later{i}")) for i in range(20)))
    found = await database.read(names)
    assert set(found) - {"n7"} == {f"n{i}" for i in range(20) if i != 7} | {f"later{i}" for i in range(20)}


async def test_counters_are_summed_over_many_writers(database: Database) -> None:
    await asyncio.gather(*(database.write(put(f"n{i}", count=i)) for i in range(50)))
    assert await database.counters() == {"puts": sum(range(50))}


async def test_counters_go_down_and_are_chosen_by_prefix(database: Database) -> None:
    def unit() -> Unit[None]:
        yield Add("queued.normal", 5)
        yield Add("queued.normal", -2)
        yield Add("queued_high", 1)
        yield Add("state.dead", -1)

    await database.write(unit)
    assert await database.counters("queued.") == {"queued.normal": 3}
    assert await database.counters() == {"queued.normal": 3, "queued_high": 1, "state.dead": -1}


async def test_an_undone_unit_counts_nothing(database: Database) -> None:
    await asyncio.gather(
        *(database.write(put_then_raise(f"n{i}")) for i in range(5)),
        database.write(put("good", count=1)),
        return_exceptions=True,
    )
    assert await database.counters() == {"puts": 1}


async def test_a_read_sees_every_write_that_was_answered(database: Database) -> None:
    async def write_and_look(name: str) -> bool:
        await database.write(put(name))
        return name in await database.read(names)

    assert all(await asyncio.gather(*(write_and_look(f"n{i}") for i in range(60))))


async def test_a_read_is_one_snapshot(database: Database) -> None:
    def count_twice() -> Unit[tuple[int, int]]:
        first = yield Sql("SELECT count(*) FROM settings_kv")
        yield from sleep(0.01)
        second = yield Sql("SELECT count(*) FROM settings_kv")
        return first[0][0], second[0][0]

    writes = [asyncio.create_task(database.write(put(f"n{i}"))) for i in range(100)]
    counts = [await database.read(count_twice) for _ in range(5)]
    await asyncio.gather(*writes)
    assert [first for first, _ in counts] == [second for _, second in counts]


@pytest.mark.parametrize("unit", [lambda: put("a"), count_one], ids=["statement", "counter"])
async def test_a_read_refuses_to_write(database: Database, unit: object) -> None:
    with pytest.raises(WriteRefused):
        await database.read(unit)  # type: ignore[arg-type]
    assert await database.read(names) == []
    assert await database.counters() == {}


async def test_what_a_reading_unit_raises_harms_no_other_reader(database: Database) -> None:
    def unit() -> Unit[None]:
        yield Sql("SELECT 1")
        raise Refused

    answers = await asyncio.gather(
        *(database.read(unit if i % 2 else names) for i in range(20)), return_exceptions=True
    )
    assert [isinstance(answer, Refused) for answer in answers] == [bool(i % 2) for i in range(20)]


async def test_a_statement_past_its_time_is_refused_and_the_engine_lives_on(
    database_url: str, tmp_path: Path
) -> None:
    settings = DatabaseSettings(statement_timeout_s=0.2)
    database = await open_database(database_url, data_dir=tmp_path, settings=settings)
    with pytest.raises(DatabaseUnavailable):
        await database.read(lambda: sleep(60))
    with pytest.raises(DatabaseUnavailable):
        await database.write(lambda: sleep(60))
    await database.write(put("a"))
    assert await database.read(names) == ["a"]
    await database.close()


async def test_too_many_waiting_units_are_refused(database_url: str, tmp_path: Path) -> None:
    settings = DatabaseSettings(waiting_limit=10, pool_size=1)
    database = await open_database(database_url, data_dir=tmp_path, settings=settings)
    slow = asyncio.create_task(database.write(lambda: sleep(0.3)))
    await asyncio.sleep(0.05)
    answers = await asyncio.gather(*(database.write(put(f"n{i}")) for i in range(30)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, DatabaseUnavailable)]
    await slow
    assert len(refused) == 20
    assert len(await database.read(names)) == 10
    await database.close()


async def test_a_closed_database_is_unavailable_and_closes_again(database: Database) -> None:
    await database.close()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await database.write(put("a"))
    with pytest.raises(DatabaseUnavailable):
        await database.read(names)


async def test_what_was_written_is_there_after_opening_again(database_url: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        database = await open_database(database_url, data_dir=tmp_path, settings=DatabaseSettings())
        await database.write(put(name))
        await database.close()
    database = await open_database(database_url, data_dir=tmp_path, settings=DatabaseSettings())
    assert await database.read(names) == ["a", "b"]
    await database.close()
