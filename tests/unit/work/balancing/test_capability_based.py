from stellwerk.work.balancing.capability_based import CapabilityBased
from stellwerk.work.balancing.roster import OrderedRoster
from support.seating import candidate, waiting


def able(name: str, number: int, *capabilities: str, **figures: object) -> object:
    return candidate(name, number, capabilities=frozenset(capabilities), **figures)


def picked_for(roster: object, *preferred: str) -> str:
    picked = roster.pick(waiting("t", "any", 0, *preferred))  # type: ignore[attr-defined]
    assert picked is not None
    return str(picked.holder.group)


def test_the_largest_overlap_wins_over_reliability() -> None:
    roster = CapabilityBased().roster(
        [able("a", 0, "x", succeeded=100), able("b", 1, "x", "y", failed=20), able("c", 2, "z")]  # type: ignore[list-item]
    )
    assert picked_for(roster, "x", "y") == "b"


def test_reliability_and_room_decide_among_equal_overlaps() -> None:
    roster = CapabilityBased().roster(
        [able("a", 0, "x", failed=1), able("b", 1, "x", active=1), able("c", 2, "x")]  # type: ignore[list-item]
    )
    assert picked_for(roster, "x") == "c"


def test_a_preference_that_nobody_meets_excludes_nobody() -> None:
    roster = CapabilityBased().roster([able("a", 0, "x", failed=1), able("b", 1, "y")])  # type: ignore[list-item]
    assert picked_for(roster, "unheard of") == "b"


def test_if_all_who_are_apt_are_full_another_takes_it() -> None:
    roster = CapabilityBased().roster([able("a", 0, "x", active=10), able("b", 1, "y")])  # type: ignore[list-item]
    assert picked_for(roster, "x") == "b"


def test_orders_for_many_sets_of_preferences_do_not_pile_up() -> None:
    roster = CapabilityBased().roster([able("a", 0, "x"), able("b", 1, "y")])  # type: ignore[list-item]
    for number in range(100):
        assert picked_for(roster, "y", f"p{number}") == "b"
    assert len(roster._apt) == 8
    assert all(isinstance(order, OrderedRoster) for order in roster._apt.values())
