"""Grouping requests: everybody gets the own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.work.grouping import Grouper


class Handler:
    """Doubles numbers; 13 spoils its group, 70 is refused."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(numbers))
        await self.go.wait()
        if 13 in numbers:
            raise RuntimeError("13")
        if 99 in numbers:
            raise DatabaseUnavailable("gone")
        return [KeyError(number) if number == 70 else number * 2 for number in numbers]


async def test_requests_of_one_moment_are_one_group() -> None:
    handler = Handler()
    grouper = Grouper[int, int](handler)
    assert await asyncio.gather(*(grouper.ask(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert handler.groups == [[0, 1, 2, 3, 4]]


async def test_requests_gather_while_groups_are_under_way() -> None:
    handler = Handler()
    handler.go.clear()
    grouper = Grouper[int, int](handler, most=3, under_way=1)
    asked = []
    for number in range(8):
        asked.append(grouper.ask(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    handler.go.set()
    assert await asyncio.gather(*asked) == [number * 2 for number in range(8)]
    assert handler.groups == [[0], [1, 2, 3], [4, 5, 6], [7]]


async def test_a_refusal_is_raised_to_its_caller_only() -> None:
    grouper = Grouper[int, int](Handler())
    answers = await asyncio.gather(*(grouper.ask(n) for n in (6, 70, 8)), return_exceptions=True)
    assert answers[0] == 12
    assert isinstance(answers[1], KeyError)
    assert answers[2] == 16


async def test_one_that_spoils_its_group_fails_alone() -> None:
    grouper = Grouper[int, int](Handler())
    answers = await asyncio.gather(*(grouper.ask(n) for n in (1, 13, 2)), return_exceptions=True)
    assert answers[0] == 2
    assert isinstance(answers[1], RuntimeError)
    assert answers[2] == 4


async def test_an_unavailable_database_is_told_to_all_without_trying_again() -> None:
    handler = Handler()
    grouper = Grouper[int, int](handler)
    answers = await asyncio.gather(*(grouper.ask(n) for n in (1, 99)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable, DatabaseUnavailable]
    assert handler.groups == [[1, 99]]


async def test_who_goes_away_does_not_stop_the_others() -> None:
    handler = Handler()
    grouper = Grouper[int, int](handler)
    gone, stays = grouper.ask(1), grouper.ask(2)
    gone.cancel()
    assert await stays == 4


async def test_finishing_does_not_wait_for_the_pause_between_groups() -> None:
    handler = Handler()
    grouper = Grouper[int, int](handler, under_way=1, apart_s=3_600)
    await grouper.ask(1)
    late = grouper.ask(2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await asyncio.shield(late)
    await asyncio.wait_for(grouper.finish(), 5)
    assert await late == 4
