import asyncio

from stellwerk.fleet.turns import Turns


async def test_one_group_has_one_turn_at_a_time_in_order_of_asking() -> None:
    turns, seen = Turns(), list[str]()

    async def change(name: str) -> None:
        async with turns.of("a"):
            seen.append(f"{name} in")
            await asyncio.sleep(0)
            seen.append(f"{name} out")

    await asyncio.gather(change("1"), change("2"), change("3"))
    assert seen == ["1 in", "1 out", "2 in", "2 out", "3 in", "3 out"]


async def test_groups_do_not_wait_for_each_other() -> None:
    turns = Turns()
    async with turns.of("a"):
        await asyncio.wait_for(turns.of("b").__aenter__(), 1)


async def test_several_turns_asked_in_opposite_order_do_not_lock_each_other_out() -> None:
    turns = Turns()

    async def change(groups: list[str]) -> None:
        for _ in range(20):
            async with turns.of_all(groups):
                await asyncio.sleep(0)

    await asyncio.wait_for(asyncio.gather(change(["a", "b"]), change(["b", "a"]), change(["b", "b"])), 5)


async def test_a_cancelled_wait_leaves_the_turn_to_the_next() -> None:
    turns = Turns()
    async with turns.of("a"):
        waiting = asyncio.create_task(turns.of("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), turns.of("a"):
        pass
    assert turns._locks == {}
