from collections import Counter

import pytest

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.consistent_hash import ConsistentHash, RingRoster
from stellwerk.work.balancing.ring import PLACES, Ring, place_of_key, places_of
from stellwerk.work.task import Holder
from support.seating import candidate, waiting

KEYS = [f"task-{number}" for number in range(2_000)]


def owners(roster: RingRoster) -> dict[str, str]:
    picks = {key: roster.pick(waiting(key)) for key in KEYS}
    return {key: picked.holder.group for key, picked in picks.items() if picked is not None}


@pytest.fixture
def strategy() -> ConsistentHash:
    return ConsistentHash()


@pytest.fixture
def members(strategy: ConsistentHash) -> list[Candidate]:
    made = [candidate(f"agent-{number}", number) for number in range(20)]
    for member in made:
        strategy.arrive(member)
    return made


def test_when_a_member_leaves_only_its_keys_move(strategy: ConsistentHash, members: list[Candidate]) -> None:
    roster = strategy.roster(members)
    before = owners(roster)
    roster.discard(members[3])
    strategy.leave(members[3])
    after = owners(roster)
    assert {key for key in KEYS if before[key] != after[key]} == {
        key for key in KEYS if before[key] == "agent-3"
    }


def test_a_member_that_comes_back_gets_its_keys_back(
    strategy: ConsistentHash, members: list[Candidate]
) -> None:
    roster = strategy.roster(members)
    before = owners(roster)
    roster.discard(members[3])
    strategy.leave(members[3])
    again = candidate("agent-3", 99)
    strategy.arrive(again)
    roster.add(again)
    assert owners(roster) == before


def test_when_a_member_is_full_only_its_keys_move(strategy: ConsistentHash, members: list[Candidate]) -> None:
    roster = strategy.roster(members)
    before = owners(roster)
    members[5].active = members[5].capacity
    roster.touch(members[5])
    after = owners(roster)
    assert {key for key in KEYS if before[key] != after[key]} == {
        key for key in KEYS if before[key] == "agent-5"
    }
    members[5].active = 0
    roster.touch(members[5])
    assert owners(roster) == before


def test_shares_are_about_equal(strategy: ConsistentHash, members: list[Candidate]) -> None:
    shares = Counter(owners(strategy.roster(members)).values())
    assert len(shares) == 20
    assert max(shares.values()) < 2 * len(KEYS) / 20


def test_a_ring_of_its_own_gives_the_same_answers_as_the_common_one(members: list[Candidate]) -> None:
    few = members[:2]
    alone, crowd = ConsistentHash(), ConsistentHash()
    for member in members:
        crowd.arrive(member)
    for member in few:
        alone.arrive(member)
    own = crowd.roster(few)
    assert owners(own) == owners(alone.roster(few))
    assert own._own is not None


def test_a_roster_that_grows_and_shrinks_keeps_its_answers(
    strategy: ConsistentHash, members: list[Candidate]
) -> None:
    roster = strategy.roster(members[:1])
    owners(roster)
    for member in members[1:]:
        roster.add(member)
    assert owners(roster) == owners(strategy.roster(members))
    assert roster._own is None
    for member in members[2:]:
        roster.discard(member)
    assert owners(roster) == owners(strategy.roster(members[:2]))
    assert roster._own is not None


def test_in_a_full_fleet_who_has_had_room_for_longest_takes_the_task() -> None:
    strategy = ConsistentHash()
    members = [candidate(f"agent-{number}", number, active=10) for number in range(400)]
    for member in members:
        strategy.arrive(member)
    roster = strategy.roster(members)
    for number in (300, 17):
        members[number].active = 9
        roster.touch(members[number])
    picks = Counter(owners(roster).values())
    assert set(picks) == {"agent-300", "agent-17"}
    assert picks["agent-300"] > picks["agent-17"]


def test_places_follow_from_the_name_alone() -> None:
    holder = Holder("agent", "one")
    assert list(places_of(holder)) == list(places_of(Holder("agent", "one")))
    assert len(set(places_of(holder))) == PLACES
    assert set(places_of(holder)).isdisjoint(places_of(Holder("agent", "two")))
    assert 0 <= place_of_key("\ud800") < 1 << 64


def test_nobody_stands_on_the_ring_after_everybody_has_left() -> None:
    ring = Ring()
    there = [candidate(str(number), number) for number in range(5)]
    for member in there:
        ring.add(member)
        ring.add(member)
    for member in there:
        ring.discard(member)
        ring.discard(member)
    assert len(ring) == 0
    assert ring.first(0, there, there, 64) is None
