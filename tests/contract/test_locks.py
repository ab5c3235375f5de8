"""What named locks promise on both engines."""

import asyncio

import pytest

from stellwerk.database.database import Database
from stellwerk.database.errors import LockLost
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from support.units import names, put


def guarded_put(lock: NamedLock, name: str) -> Unit[None]:
    yield from lock.guard()
    yield from put(name)


async def test_only_one_of_many_takers_gets_a_lock(database: Database) -> None:
    takers = [database.lock("sweep", f"holder{i}") for i in range(10)]
    fences = await asyncio.gather(*(lock.take(100, 50) for lock in takers))
    assert sorted(fence for fence in fences if fence) == [1]


async def test_a_held_lock_is_free_when_its_time_has_run_out(database: Database) -> None:
    first, second = database.lock("sweep", "a"), database.lock("sweep", "b")
    assert await first.take(100, 50) == 1
    assert await second.take(149, 50) is None
    assert await second.take(150, 50) == 2


async def test_locks_of_different_names_do_not_meet(database: Database) -> None:
    assert await database.lock("a", "x").take(100, 50) == 1
    assert await database.lock("b", "y").take(100, 50) == 1


async def test_renewing_holds_on_and_keeps_the_fence(database: Database) -> None:
    first, second = database.lock("sweep", "a"), database.lock("sweep", "b")
    await first.take(100, 50)
    assert await first.renew(140, 50)
    assert await second.take(160, 50) is None
    assert first.fence == 1


async def test_a_lost_lock_cannot_be_renewed(database: Database) -> None:
    first, second = database.lock("sweep", "a"), database.lock("sweep", "b")
    await first.take(100, 50)
    await second.take(150, 50)
    assert not await first.renew(151, 50)
    assert first.fence is None
    assert not await first.renew(152, 50)


async def test_an_expired_lock_that_nobody_took_can_be_renewed(database: Database) -> None:
    lock = database.lock("sweep", "a")
    await lock.take(100, 50)
    assert await lock.renew(500, 50)


async def test_a_released_lock_is_free_at_once_and_its_fence_still_grows(database: Database) -> None:
    first, second = database.lock("sweep", "a"), database.lock("sweep", "b")
    await first.take(100, 50)
    await first.release()
    await first.release()
    assert await second.take(101, 50) == 2


async def test_releasing_a_lost_lock_leaves_it_to_its_new_holder(database: Database) -> None:
    first, second, third = (database.lock("sweep", name) for name in "abc")
    await first.take(100, 50)
    await second.take(150, 50)
    await first.release()
    assert await third.take(151, 50) is None


async def test_the_same_holder_after_a_restart_cuts_off_its_former_self(database: Database) -> None:
    before, after = database.lock("sweep", "a"), database.lock("sweep", "a")
    assert await before.take(100, 50) == 1
    assert await after.take(101, 50) == 2
    with pytest.raises(LockLost):
        await database.write(lambda: guarded_put(before, "old"))
    await database.write(lambda: guarded_put(after, "new"))
    assert await database.read(names) == ["new"]


async def test_a_unit_of_a_former_holder_is_undone(database: Database) -> None:
    first, second = database.lock("sweep", "a"), database.lock("sweep", "b")
    await first.take(100, 50)
    await database.write(lambda: guarded_put(first, "in time"))
    await second.take(150, 50)
    with pytest.raises(LockLost):
        await database.write(lambda: guarded_put(first, "too late"))
    assert await database.read(names) == ["in time"]
