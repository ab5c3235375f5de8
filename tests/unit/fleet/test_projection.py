from msgspec.structs import replace

from stellwerk.fleet.model import Condition, Presence
from stellwerk.fleet.projection import record_of, restate
from support.fleet import agent_view, instance_view


def test_one_instance_is_shown_as_it_is() -> None:
    one = instance_view(capabilities=("x",), load={"cpu_usage": 0.7}, seen_at=9)
    view = agent_view("a1", one)
    assert view.capabilities is one.capabilities
    assert (view.version, view.load, view.health_score, view.seen_at) == ("1.0.0", {"cpu_usage": 0.7}, 0.9, 9)


def test_lists_are_united_newest_instance_first() -> None:
    old = instance_view("old", registered_at=1, capabilities=("a", "b"), tags=("t",), version="1")
    new = instance_view("new", registered_at=2, capabilities=("c", "a"), tags=("t",), version="2")
    view = agent_view("a1", old, new)
    assert view.capabilities == ("c", "a", "b")
    assert view.tags == ("t",)
    assert view.version == "2"
    assert [one.instance for one in view.instances] == ["new", "old"]


def test_mappings_are_merged_and_the_newest_instance_wins() -> None:
    old = instance_view("old", registered_at=1, metadata={"a": 1, "b": 1}, labels={"zone": "x"})
    new = instance_view("new", registered_at=2, metadata={"b": 2}, endpoints={"http": "h"})
    view = agent_view("a1", old, new)
    assert view.metadata == {"a": 1, "b": 2}
    assert view.labels == {"zone": "x"}
    assert view.endpoints == {"http": "h"}


def test_the_healthiest_reachable_instance_speaks_for_the_group() -> None:
    broken = instance_view("broken", condition=Condition.ERROR, load={"cpu_usage": 0.9}, seen_at=5)
    gone = instance_view("gone", presence=Presence.OFFLINE, seen_at=1)
    view = agent_view("a1", broken, gone)
    assert gone.health_score > broken.health_score
    assert (view.condition, view.presence, view.health_score) == (Condition.ERROR, Presence.ONLINE, 0.2)
    late = instance_view("late", presence=Presence.LATE)
    assert agent_view("a1", broken, gone, late).presence is Presence.LATE


def test_the_latest_sign_of_life_counts_whoever_gave_it() -> None:
    busy = instance_view("busy", condition=Condition.BUSY, seen_at=20)
    assert agent_view("a1", busy, instance_view("idle", seen_at=10)).seen_at == 20


def test_restating_is_projecting_again() -> None:
    one, two = instance_view("one", registered_at=2), instance_view("two", registered_at=1)
    for instances in ((one,), (one, two)):
        view = agent_view("a1", *instances)
        changed = replace(one, condition=Condition.ERROR, health_score=0.5, seen_at=77, load={"x": 1.0})
        again = agent_view("a1", changed, *instances[1:], revision=2)
        assert restate(view, changed, 2) == again


def test_instance_is_found_by_name_or_as_the_only_one() -> None:
    single = agent_view("a1", instance_view("i-7"))
    assert single.instance(None) is single.instances[0]
    assert single.instance("default") is None
    double = agent_view("a1", instance_view("default"), instance_view("i-7"))
    assert double.instance(None) is double.instance("default") is not None
    assert agent_view("a1", instance_view("x"), instance_view("y")).instance(None) is None


def test_record_is_what_the_view_was_made_of() -> None:
    record = record_of(agent_view("a1", kind="gateway", registered_at=4))
    assert (record.group, record.kind, record.registered_at, record.owner) == (
        "a1",
        "gateway",
        4,
        "key:alice",
    )
