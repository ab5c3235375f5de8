import asyncio

import pytest

from stellwerk.work.balancing.strategy import StrategyName
from stellwerk.work.matching import Attributes
from stellwerk.work.requirements import Form
from stellwerk.work.seats import Seats
from stellwerk.work.task import Holder
from support.seating import RecordingChannel, assignment, lease, seat, waiting

FORMS = {"any": Form(), "x": Form(capabilities=("x",)), "y": Form(capabilities=("y",))}


@pytest.fixture
def seats() -> Seats:
    return Seats(FORMS.get)


def test_a_seat_takes_as_many_leases_as_it_has_capacity(seats: Seats) -> None:
    seats.connect(seat("a", capacity=2))
    assert lease(seats, waiting("1"), waiting("2"), waiting("3")) == [Holder("a"), Holder("a"), None]
    assert seats.held(Holder("a")) == {"1": 1, "2": 1}


def test_a_released_lease_gives_its_room_back_once(seats: Seats) -> None:
    seats.connect(seat("a"))
    lease(seats, waiting("1"))
    seats.release(Holder("a"), "1", 1)
    seats.release(Holder("a"), "1", 1)
    assert lease(seats, waiting("2"), waiting("3")) == [Holder("a"), None]


def test_the_end_of_an_older_lease_of_the_same_task_is_not_that_of_the_newer(seats: Seats) -> None:
    seats.connect(seat("a"))
    seats.hold(Holder("a"), "1", 2)
    seats.release(Holder("a"), "1", 1)
    assert lease(seats, waiting("2")) == [None]


def test_a_task_leased_again_before_its_old_lease_is_uncounted_counts_once(seats: Seats) -> None:
    seats.connect(seat("a", capacity=2))
    lease(seats, waiting("1"))
    lease(seats, waiting("1"))
    assert seats.figures().active == 1
    assert lease(seats, waiting("2"), waiting("3")) == [Holder("a"), None]


def test_leases_held_before_connecting_and_claims_count(seats: Seats) -> None:
    seats.connect(seat("a", capacity=3), [("1", 4)])
    seats.hold(Holder("a"), "2", 1)
    seats.hold(Holder("a"), "2", 1)
    assert lease(seats, waiting("3"), waiting("4")) == [Holder("a"), None]


def test_only_matching_seats_are_chosen(seats: Seats) -> None:
    seats.connect(seat("a", "x"))
    seats.connect(seat("b", "y"))
    assert lease(seats, waiting("1", "y"), waiting("2", "x")) == [Holder("b"), Holder("a")]
    assert lease(seats, waiting("3", "unknown")) == [None]


def test_a_queue_of_a_named_group_is_served_by_its_instances_only(seats: Seats) -> None:
    seats.connect(seat("a", "x", instance="1"))
    seats.connect(seat("a", "x", instance="2"))
    seats.connect(seat("b", "x"))
    tasks = [waiting(str(number), "x@a") for number in range(3)]
    assert lease(seats, *tasks) == [Holder("a", "1"), Holder("a", "2"), None]


def test_who_stops_accepting_gets_nothing_new_until_it_accepts_again(seats: Seats) -> None:
    seats.connect(seat("a", capacity=5))
    lease(seats, waiting("1"))
    seats.change(Holder("a"), Attributes(), accepting=False)
    assert lease(seats, waiting("2")) == [None]
    seats.change(Holder("a"), Attributes(), accepting=True)
    assert lease(seats, waiting("2")) == [Holder("a")]
    assert seats.held(Holder("a")) == {"1": 1, "2": 1}


def test_a_changed_registration_changes_what_it_is_chosen_for(seats: Seats) -> None:
    seats.connect(seat("a", "x", capacity=5))
    lease(seats, waiting("1", "x"), waiting("2", "any"))
    seats.change(Holder("a"), Attributes(capabilities=frozenset("y")), accepting=True)
    assert lease(seats, waiting("3", "x"), waiting("4", "y"), waiting("5")) == [
        None,
        Holder("a"),
        Holder("a"),
    ]


def test_a_reconnected_holder_has_a_new_seat_and_the_old_one_no_say(seats: Seats) -> None:
    old, new = seat("a"), seat("a", capacity=2)
    assert seats.connect(old) is None
    assert seats.connect(new, [("1", 1)]) is old
    assert seats.disconnect(old) is False
    assert seats.get(Holder("a")) is new
    assert seats.disconnect(new) is True
    assert (seats.get(Holder("a")), len(seats), seats.of_group("a")) == (None, 0, [])


def test_what_happens_while_the_figures_are_borrowed_waits_until_they_are_back(seats: Seats) -> None:
    seats.connect(seat("a"), [("0", 1)])
    seats.connect(seat("b"))
    roster = seats.roster_of("any")
    assert roster is not None
    choice = seats.borrow({"any": roster})
    late = seat("c")
    seats.connect(late)
    seats.release(Holder("a"), "0", 1)
    assert choice.choose(waiting("1")) == Holder("b")
    assert choice.choose(waiting("2")) is None
    assert seats.get(Holder("c")) is late
    seats.give_back(choice, [assignment("1", Holder("b"))])
    assert lease(seats, waiting("2"), waiting("3"), waiting("4")) == [Holder("a"), Holder("c"), None]


def test_what_was_chosen_but_not_leased_is_undone(seats: Seats) -> None:
    seats.connect(seat("a", capacity=2))
    roster = seats.roster_of("any")
    assert roster is not None
    choice = seats.borrow({"any": roster})
    choice.choose(waiting("1"))
    choice.restart()
    choice.choose(waiting("1"))
    choice.choose(waiting("2"))
    seats.newly_roomy()
    seats.give_back(choice, [assignment("2", Holder("a"))])
    assert seats.held(Holder("a")) == {"2": 1}
    assert [place.candidate.holder for place in seats.newly_roomy()] == [Holder("a")]
    assert lease(seats, waiting("3"), waiting("4")) == [Holder("a"), None]


def test_figures_cannot_be_borrowed_twice(seats: Seats) -> None:
    seats.borrow({})
    with pytest.raises(RuntimeError):
        seats.borrow({})


def test_a_seat_that_left_during_the_unit_is_gone_afterwards(seats: Seats) -> None:
    there = seat("a")
    seats.connect(there)
    roster = seats.roster_of("any")
    assert roster is not None
    choice = seats.borrow({"any": roster})
    assert choice.choose(waiting("1")) == Holder("a")
    assert seats.disconnect(there)
    seats.give_back(choice, [assignment("1", Holder("a"))])
    assert (seats.get(Holder("a")), seats.held(Holder("a"))) == (None, {})
    assert lease(seats, waiting("2")) == [None]


def test_only_who_comes_to_have_room_wakes_the_dispatcher(seats: Seats) -> None:
    wakes: list[None] = []
    seats.on_room(lambda: wakes.append(None))
    seats.connect(seat("a", capacity=2))
    assert len(wakes) == 1
    lease(seats, waiting("1"))
    seats.release(Holder("a"), "1", 1)
    seats.report(Holder("a"), {"cpu_usage": 0.5})
    assert len(wakes) == 1
    lease(seats, waiting("2"), waiting("3"))
    seats.release(Holder("a"), "2", 1)
    assert len(wakes) == 2


def test_foreign_load_counts_beyond_our_own_leases_until_the_next_report(seats: Seats) -> None:
    seats.connect(seat("a", capacity=9))
    seats.connect(seat("b", capacity=9))
    seats.report(Holder("a"), {"active_connections": 2, "pending_tasks": 1})
    assert lease(seats, *(waiting(str(number)) for number in range(3))) == [Holder("b")] * 3
    seats.report(Holder("b"), {"active_connections": 3})
    seats.report(Holder("a"), {"active_connections": 0})
    assert lease(seats, *(waiting(str(number)) for number in range(3, 6))) == [Holder("a")] * 3


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -5.0, 1e300])
def test_nonsense_in_reported_load_is_harmless(seats: Seats, nonsense: float) -> None:
    seats.connect(
        seat("a", load={"active_connections": nonsense, "cpu_usage": nonsense, "memory_usage": nonsense})
    )
    seats.connect(seat("b", weight=nonsense))
    assert set(lease(seats, waiting("1"), waiting("2"))) == {Holder("a"), Holder("b")}


def test_at_most_64_rosters_are_kept() -> None:
    forms = {
        f"form-{number}": Form(capabilities=("x",), min_health_score=number / 1_000) for number in range(200)
    }
    seats = Seats(forms.get)
    seats.connect(seat("a", "x", capacity=500))
    for form_id in forms:
        assert lease(seats, waiting(form_id, form_id)) == [Holder("a")]
    assert seats._rosters.in_use() == 64
    place = seats._rosters.get(Holder("a"))
    assert place is not None
    assert len(place.rosters) == 64


def test_queues_that_nobody_matches_push_no_roster_out(seats: Seats) -> None:
    seats.connect(seat("a", "x"))
    assert seats.roster_of("y") is None
    assert seats._rosters.in_use() == 0


async def test_a_switched_strategy_knows_everybody_and_every_lease(seats: Seats) -> None:
    for name in "abc":
        seats.connect(seat(name, capacity=2))
    lease(seats, waiting("1"), waiting("2"), waiting("3"), waiting("4"))
    for strategy in StrategyName:
        await seats.switch(strategy)
        assert seats.strategy is strategy
        chosen = lease(seats, waiting("5"), waiting("6"), waiting("7"))
        assert len([holder for holder in chosen if holder]) == 2
        for task, holder in zip("567", chosen, strict=True):
            if holder:
                seats.release(holder, task, 1)


async def test_a_switch_waits_for_the_unit_in_flight(seats: Seats) -> None:
    seats.connect(first := seat("a"))
    roster = seats.roster_of("any")
    assert roster is not None
    choice = seats.borrow({"any": roster})
    switch = asyncio.create_task(seats.switch(StrategyName.CONSISTENT_HASH))
    for _ in range(3):
        await asyncio.sleep(0)
    seats.connect(seat("b"))
    seats.disconnect(first)
    assert seats.strategy is StrategyName.LEAST_CONNECTIONS
    choice.choose(waiting("1"))
    seats.give_back(choice, [assignment("1", Holder("a"))])
    await switch
    assert seats.strategy is StrategyName.CONSISTENT_HASH
    assert lease(seats, waiting("2"), waiting("3")) == [Holder("b"), None]


async def test_a_switch_that_nobody_waits_for_any_more_is_still_made(seats: Seats) -> None:
    choice = seats.borrow({})
    switch = asyncio.create_task(seats.switch(StrategyName.ROUND_ROBIN))
    for _ in range(3):
        await asyncio.sleep(0)
    switch.cancel()
    await asyncio.wait([switch])
    seats.connect(seat("a"))
    seats.give_back(choice, [])
    assert seats.strategy is StrategyName.ROUND_ROBIN
    assert lease(seats, waiting("1")) == [Holder("a")]


def test_a_registration_that_changes_while_its_seat_waits_in_line_is_followed(seats: Seats) -> None:
    choice = seats.borrow({})
    seats.connect(there := seat("a", "x"))
    assert seats.of_group("a") == [there]
    seats.change(Holder("a"), Attributes(capabilities=frozenset("y")), accepting=True)
    seats.give_back(choice, [])
    assert lease(seats, waiting("1", "x"), waiting("2", "y")) == [None, Holder("a")]


def test_statistics_count_the_connected(seats: Seats) -> None:
    seats.connect(seat("a", capacity=3, weight=2.0))
    seats.connect(seat("b", accepting=False))
    lease(seats, waiting("1"), waiting("2"))
    assert seats.figures() == (1, 2, 1)


def test_seats_are_told_apart_by_identity() -> None:
    channel = RecordingChannel()
    assert seat("a", channel=channel) != seat("a", channel=channel)
