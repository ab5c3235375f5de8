"""Where a call goes: health, weights, pins, sessions, instances, and those it was sent to in vain."""

import time
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from stellwerk.fleet.model import AgentView, Condition, InstanceView, Presence, VersionView
from stellwerk.traffic.refusals import NoVersion, UnknownVersion
from stellwerk.traffic.router import Router
from stellwerk.traffic.routing import Route
from support.fleet import agent_view, instance_view

BOTH = frozenset({"1.0.0", "2.0.0"})
ANY = Route(versions=BOTH)
FUNCTION = {"reasoners": [{"id": "greet", "tags": []}]}


def process(name: str, version: str = "1.0.0", **fields: Any) -> InstanceView:
    return instance_view(
        name,
        **{"version": version, "endpoints": {"base_url": f"http://{name}"}, "metadata": FUNCTION, **fields},
    )


def agent(*instances: InstanceView, **weights: int | None) -> AgentView:
    versions = tuple(VersionView(name[1:].replace("_", "."), weight, 1) for name, weight in weights.items())
    return replace(agent_view("hello", *instances), joined_through="nodes", versions=versions)


class Known:
    """A router over one agent that can be changed."""

    def __init__(self, view: AgentView | None) -> None:
        self.view = view
        self.loads: Counter[str] = Counter()
        self.router = Router(
            lambda group: self.view if group == "hello" else None,
            lambda _, instance: self.loads[instance],
            {},
            lambda: 0.5,
        )

    def now(self, view: AgentView | None) -> None:
        self.view = view
        self.router.changed("hello")

    def versions(self, number: int, route: Route = ANY) -> Counter[str]:
        return Counter(self.router.choose("hello", route).version for _ in range(number))

    def instances(self, number: int, route: Route = ANY) -> Counter[str]:
        return Counter(self.router.choose("hello", route).place.instance for _ in range(number))

    def reason(self, route: Route = ANY) -> str:
        with pytest.raises(NoVersion) as refusal:
            self.router.choose("hello", route)
        return refusal.value.reason


A, B = process("a"), process("b", "2.0.0")


def test_calls_are_shared_by_weight() -> None:
    assert Known(agent(A, B, v1_0_0=900, v2_0_0=100)).versions(1_000) == {"1.0.0": 900, "2.0.0": 100}


def test_the_split_stays_exact_through_heartbeats_and_changes_that_do_not_matter() -> None:
    view = agent(A, B, v1_0_0=900, v2_0_0=100)
    known, seen = Known(view), Counter[str]()
    for number in range(1_000):
        known.now(replace(view, revision=number))
        seen += known.versions(1)
    assert seen == {"1.0.0": 900, "2.0.0": 100}


def test_every_replica_begins_at_a_place_of_its_own() -> None:
    """Whose rare turn all replicas gave at once would be flooded, then dry: ten of a hundred for a round."""
    view = agent(A, B, v1_0_0=900, v2_0_0=100)
    began = set()
    for _ in range(40):
        router = Router(lambda group: view, lambda _, __: 0, {})
        began.add([router.choose("hello", ANY).version for _ in range(10)].index("2.0.0"))
    assert len(began) > 3


def test_all_off_and_nobody_healthy_are_refused_with_their_reasons() -> None:
    assert Known(agent(A, B, v1_0_0=0, v2_0_0=0)).reason() == "off"
    gone = replace(A, presence=Presence.OFFLINE)
    assert Known(agent(gone, v1_0_0=900)).reason() == "unhealthy"
    assert Known(None).reason() == "unhealthy"


@pytest.mark.parametrize(
    "state",
    [
        {"presence": Presence.OFFLINE},
        {"condition": Condition.INACTIVE},
        {"condition": Condition.MAINTENANCE},
        {"condition": Condition.ERROR},
        {"endpoints": {}},
    ],
)
def test_who_cannot_be_called_gets_nothing(state: dict[str, Any]) -> None:
    known = Known(agent(process("a", **state), B, v1_0_0=900, v2_0_0=100))
    assert known.versions(20) == {"2.0.0": 20}


def test_late_instances_stand_in_for_a_version_without_punctual_ones() -> None:
    late = process("late", presence=Presence.LATE)
    assert Known(agent(A, late, v1_0_0=900)).instances(10) == {"a": 10}
    assert Known(agent(late, B, v1_0_0=900, v2_0_0=100)).versions(10) == {"1.0.0": 9, "2.0.0": 1}


def test_degraded_instances_are_better_than_none() -> None:
    known = Known(agent(process("a", condition=Condition.ERROR), v1_0_0=900))
    assert known.instances(3) == {"a": 3}


def test_a_pin_reaches_a_version_that_is_out_of_rotation() -> None:
    known = Known(agent(A, B, v1_0_0=900, v2_0_0=0))
    assert known.versions(5, Route(versions=BOTH, pin="2.0.0")) == {"2.0.0": 5}


def test_a_pin_to_a_version_that_is_unknown_or_down_is_refused() -> None:
    known = Known(agent(A, replace(B, presence=Presence.OFFLINE), v1_0_0=900, v2_0_0=100))
    assert known.reason(Route(versions=BOTH, pin="2.0.0")) == "pinned_unhealthy"
    with pytest.raises(UnknownVersion):
        known.router.choose("hello", Route(versions=BOTH, pin="3.0.0"))


def test_a_version_without_the_function_is_passed_by() -> None:
    known = Known(agent(A, B, v1_0_0=900, v2_0_0=100))
    assert known.versions(10, Route(versions=frozenset({"2.0.0"}))) == {"2.0.0": 10}


def test_a_session_stays_with_its_version_and_instance() -> None:
    others = [process(f"a{number}") for number in range(5)]
    known = Known(agent(*others, B, v1_0_0=500, v2_0_0=500))
    for session in ("ada", "bob", "cleo"):
        assert len(known.instances(20, Route(versions=BOTH, session=session))) == 1


def test_the_least_busy_instance_is_chosen_then_each_in_turn() -> None:
    known = Known(agent(process("a"), process("b"), process("c"), v1_0_0=900))
    assert known.instances(30) == {"a": 10, "b": 10, "c": 10}
    known.loads.update(a=2, b=1, c=2)
    assert known.instances(5) == {"b": 5}


def test_a_call_goes_elsewhere_after_it_was_sent_in_vain() -> None:
    known = Known(agent(A, process("a2"), B, v1_0_0=900, v2_0_0=100))
    assert known.instances(3, Route(versions=BOTH, excluded=frozenset({"a"}))) == {"a2": 3}
    assert known.instances(3, Route(versions=BOTH, excluded=frozenset({"a", "a2"}))) == {"b": 3}
    assert known.reason(Route(versions=BOTH, excluded=frozenset({"a", "a2", "b"}))) == "unhealthy"


def test_who_was_sent_to_in_vain_costs_the_others_no_turn() -> None:
    known = Known(agent(A, B, v1_0_0=900, v2_0_0=100))
    seen = Counter[str]()
    for _ in range(100):
        seen += known.versions(1)
        known.versions(1, Route(versions=BOTH, excluded=frozenset({"b"})))
    assert seen == {"1.0.0": 90, "2.0.0": 10}


def test_a_suspended_instance_gets_nothing_until_it_is_heard_again() -> None:
    view = agent(A, B, v1_0_0=900, v2_0_0=100)
    known = Known(view)
    known.router.suspend("hello", "a")
    assert known.versions(10) == {"2.0.0": 10}
    heard = replace(A, seen_at=A.seen_at + 1)
    known.view = replace(view, instances=(heard, B))  # a pure heartbeat: nobody is told
    assert known.versions(10) == {"1.0.0": 9, "2.0.0": 1}


def test_a_version_is_chosen_among_a_hundred_in_twenty_microseconds() -> None:
    instances = [process(f"i{number}", f"{number}.0.0") for number in range(100)]
    weights = {f"v{number}_0_0": 1 + 97 * number for number in range(100)}
    known = Known(agent(*instances, **weights))
    route = Route(versions=frozenset(one.version for one in instances))
    known.versions(1_000, route)
    best = min(_timed(known, route) for _ in range(10))
    assert best < 20


def _timed(known: Known, route: Route) -> float:
    """Return microseconds of one choice."""
    # Of this process: what others do on the machine meanwhile is not the router's affair.
    began = time.process_time()
    for _ in range(2_000):
        known.router.choose("hello", route)
    return (time.process_time() - began) * 1e6 / 2_000
