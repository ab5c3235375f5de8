"""Weights of versions on both engines: kept, set together, followed by every replica."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stellwerk.database.database import Database
from stellwerk.fleet.errors import (
    InvalidWeight,
    OwnedByAnother,
    UnknownAgent,
    UnknownVersion,
    WeightsChanged,
)
from stellwerk.fleet.model import NODES, Condition, Presence
from stellwerk.fleet.service import Fleet
from stellwerk.journal.event import EventFilter, Retention
from stellwerk.journal.service import Journal
from stellwerk.settings import FleetSettings, JournalSettings
from support.clock import FakeClock
from support.fleet import ADMIN, ALICE, BOB, registration

SETTINGS = FleetSettings(flush_s=60, sweep_s=60)


class Kit:
    """A fleet with its clock and journal."""

    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.journal = Journal(database, JournalSettings(), self.clock)
        self.fleet = Fleet(database, self.journal, SETTINGS, self.clock)

    async def join(self, version: str = "1.0.0", **fields: Any) -> None:
        said = {
            "joined_through": NODES,
            "kind": "node",
            "instance": f"i-{version}",
            "endpoints": {"base_url": f"http://{version}"},
            "first_weight": 900,
            **fields,
        }
        await self.fleet.register(ALICE, registration("hello", version=version, **said))

    def weights(self) -> dict[str, int | None]:
        view = self.fleet.get("hello")
        assert view is not None
        return {one.version: one.weight for one in view.versions}

    def instances(self) -> list[str]:
        view = self.fleet.get("hello")
        return [] if view is None else sorted(one.instance for one in view.instances)


@pytest.fixture
async def kit(database: Database) -> AsyncIterator[Kit]:
    kit = Kit(database)
    await kit.fleet.start()
    yield kit
    await kit.fleet.stop()
    await kit.journal.stop()


async def test_the_first_version_has_a_weight_and_later_ones_have_none(kit: Kit) -> None:
    await kit.join("1.0.0")
    await kit.join("2.0.0")
    await kit.join("3.0.0", later_weight=5)
    assert kit.weights() == {"1.0.0": 900, "2.0.0": None, "3.0.0": 5}


async def test_weights_outlive_registrations_processes_and_restarts(database: Database, kit: Kit) -> None:
    await kit.join("1.0.0")
    await kit.join("2.0.0")
    await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 0, "2.0.0": 100})
    await kit.join("1.0.0")
    await kit.join("1.0.0", instance="another", endpoints={"base_url": "http://other"})
    await kit.fleet.remove(ALICE, "hello", "i-2.0.0")
    expected = {"1.0.0": 0, "2.0.0": 100}
    assert kit.weights() == expected
    again = Kit(database)
    await again.fleet.start()
    assert again.weights() == expected
    await again.fleet.stop()


async def test_weights_are_set_together_or_not_at_all(kit: Kit) -> None:
    await kit.join("1.0.0")
    await kit.join("2.0.0")
    for wrong, refusal in (
        ({"1.0.0": 1, "2.0.0": 10_001}, InvalidWeight),
        ({"1.0.0": 1, "2.0.0": -1}, InvalidWeight),
        ({"1.0.0": 1, "9.0.0": 5}, UnknownVersion),
    ):
        with pytest.raises(refusal):
            await kit.fleet.set_weights(ALICE, "hello", wrong)
    assert kit.weights() == {"1.0.0": 900, "2.0.0": None}
    done = await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 10_000, "2.0.0": 0})
    assert (done.previous, done.weights) == (
        {"1.0.0": 900, "2.0.0": None},
        {"1.0.0": 10_000, "2.0.0": 0},
    )


async def test_weights_that_changed_meanwhile_are_not_overwritten(kit: Kit) -> None:
    await kit.join("1.0.0")
    seen = await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 500})
    await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 600}, seen.tag)
    with pytest.raises(WeightsChanged) as refusal:
        await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 700}, seen.tag)
    assert kit.weights() == {"1.0.0": 600}
    await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 700}, refusal.value.tag)
    assert kit.weights() == {"1.0.0": 700}


async def test_of_changes_at_once_on_one_state_one_wins(kit: Kit) -> None:
    await kit.join("1.0.0")
    tag = (await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 1})).tag
    asked = [kit.fleet.set_weights(ALICE, "hello", {"1.0.0": weight}, tag) for weight in range(2, 8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, WeightsChanged) for one in answers) == 5


async def test_weights_need_the_owner_or_an_administrator(kit: Kit) -> None:
    await kit.join("1.0.0")
    with pytest.raises(OwnedByAnother):
        await kit.fleet.set_weights(BOB, "hello", {"1.0.0": 1})
    with pytest.raises(OwnedByAnother):
        await kit.fleet.remove_version(BOB, "hello", "1.0.0")
    with pytest.raises(UnknownAgent):
        await kit.fleet.set_weights(ADMIN, "nobody", {"1.0.0": 1})
    assert kit.weights() == {"1.0.0": 900}
    await kit.fleet.set_weights(ADMIN, "hello", {"1.0.0": 1})
    assert kit.weights() == {"1.0.0": 1}


async def test_who_changed_which_weights_is_on_record(kit: Kit) -> None:
    await kit.join("1.0.0")
    await kit.fleet.set_weights(ADMIN, "hello", {"1.0.0": 5})
    (event,) = (await kit.journal.page(EventFilter(kinds=("agent.weights",)))).events
    assert (event.retention, event.group, event.principal) == (Retention.AUDIT, "hello", ADMIN.id)
    assert event.data == '{"old":{"1.0.0":900},"new":{"1.0.0":5}}'


async def test_a_removed_version_goes_with_its_processes_and_the_last_with_the_agent(kit: Kit) -> None:
    await kit.join("1.0.0")
    await kit.join("2.0.0")
    await kit.fleet.remove_version(ALICE, "hello", "2.0.0")
    assert (kit.weights(), kit.instances()) == ({"1.0.0": 900}, ["i-1.0.0"])
    with pytest.raises(UnknownVersion):
        await kit.fleet.remove_version(ALICE, "hello", "2.0.0")
    await kit.fleet.remove_version(ALICE, "hello", "1.0.0")
    assert kit.fleet.get("hello") is None
    await kit.join("3.0.0")
    assert kit.weights() == {"3.0.0": 900}


async def test_a_process_replaces_whoever_had_its_address(kit: Kit) -> None:
    await kit.join("1.0.0", instance="old")
    await kit.join("1.0.0", instance="beside", endpoints={"base_url": "http://beside"})
    await kit.join("1.0.0", instance="new")
    assert kit.instances() == ["beside", "new"]
    await kit.join("2.0.0", instance="newest", endpoints={"base_url": "http://1.0.0"})
    assert kit.instances() == ["beside", "newest"]
    assert kit.weights() == {"1.0.0": 900, "2.0.0": None}


async def test_other_agents_may_share_an_address(kit: Kit) -> None:
    for instance in ("one", "two"):
        said = {"joined_through": "coordinator", "instance": instance, "endpoints": {"base_url": "http://x"}}
        await kit.fleet.register(ALICE, registration("worker", **said))
    view = kit.fleet.get("worker")
    assert view is not None
    assert len(view.instances) == 2


async def test_a_node_may_join_before_it_is_ready(kit: Kit) -> None:
    await kit.join("1.0.0", condition=Condition.INACTIVE)
    view = kit.fleet.get("hello")
    assert view is not None
    assert view.standing == (Condition.INACTIVE, Presence.ONLINE)
    await kit.fleet.heartbeat(ALICE, "hello", "i-1.0.0", condition=Condition.ACTIVE)
    assert kit.fleet.get("hello").standing == (Condition.ACTIVE, Presence.ONLINE)  # type: ignore[union-attr]


async def test_nodes_are_missed_in_seconds_and_others_in_minutes(kit: Kit) -> None:
    await kit.join("1.0.0")
    await kit.fleet.register(ALICE, registration("worker"))

    async def presences(seconds: float) -> tuple[Presence, Presence]:
        kit.clock.advance(seconds)
        await kit.fleet.sweep(kit.clock.now_us())
        return kit.fleet.get("hello").presence, kit.fleet.get("worker").presence  # type: ignore[union-attr]

    assert await presences(5) == (Presence.ONLINE, Presence.ONLINE)
    assert await presences(2) == (Presence.LATE, Presence.ONLINE)
    assert await presences(14) == (Presence.OFFLINE, Presence.ONLINE)
    assert await presences(70) == (Presence.OFFLINE, Presence.LATE)
    await kit.fleet.heartbeat(ALICE, "hello", "i-1.0.0")
    assert kit.fleet.get("hello").presence is Presence.ONLINE  # type: ignore[union-attr]


async def test_a_good_bye_is_believed_at_once_and_taken_back_by_a_sign_of_life(kit: Kit) -> None:
    await kit.join("1.0.0")
    await kit.fleet.leave(ALICE, "hello", "i-1.0.0", through=NODES)
    view = kit.fleet.get("hello")
    assert view is not None
    assert view.standing == (Condition.INACTIVE, Presence.OFFLINE)
    await kit.fleet.heartbeat(ALICE, "hello", "i-1.0.0", condition=Condition.ACTIVE)
    assert kit.fleet.get("hello").standing == (Condition.ACTIVE, Presence.ONLINE)  # type: ignore[union-attr]
    with pytest.raises(OwnedByAnother):
        await kit.fleet.leave(BOB, "hello", "i-1.0.0")
    with pytest.raises(UnknownAgent):
        await kit.fleet.leave(ALICE, "hello", "nobody")


async def test_other_replicas_follow_the_weights(database: Database, kit: Kit) -> None:
    if database.engine == "sqlite":
        pytest.skip("one process has a SQLite database for itself")
    there = Kit(database)
    await there.fleet.start()
    await kit.join("1.0.0")
    await kit.fleet.set_weights(ALICE, "hello", {"1.0.0": 77})
    async with asyncio.timeout(10):
        while kit_weights(there) != {"1.0.0": 77}:  # noqa: ASYNC110 (what is followed has no event)
            await asyncio.sleep(0.05)
    await there.fleet.stop()
    await there.journal.stop()


def kit_weights(kit: Kit) -> dict[str, int | None]:
    return {} if kit.fleet.get("hello") is None else kit.weights()
