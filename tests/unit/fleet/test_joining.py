import pytest

from stellwerk.fleet.errors import InvalidId, InvalidRegistration
from stellwerk.fleet.joining import check_registration, declared_changes, join, weight_hint
from stellwerk.fleet.model import Condition, Presence
from support.fleet import instance_view, registration


def test_first_registration_makes_an_active_online_instance() -> None:
    new = join(None, check_registration(registration(capabilities=("x",), metadata={"weight": 3})), 100)
    expected = instance_view(
        capabilities=("x",),
        metadata={"weight": 3},
        weight_hint=3.0,
        registered_at=100,
        updated_at=100,
        seen_at=100,
    )
    assert new == expected


def test_registering_again_keeps_time_load_and_history() -> None:
    before = instance_view(
        load={"cpu_usage": 0.9},
        registered_at=5,
        succeeded=7,
        failed=2,
        response_ms=12.5,
        condition=Condition.ERROR,
        presence=Presence.OFFLINE,
    )
    after = join(before, check_registration(registration(version="2")), 100)
    expected = instance_view(
        version="2",
        load={"cpu_usage": 0.9},
        registered_at=5,
        updated_at=100,
        seen_at=100,
        succeeded=7,
        failed=2,
        response_ms=12.5,
    )
    assert after == expected


def test_maintenance_outlives_a_new_registration() -> None:
    before = instance_view(condition=Condition.MAINTENANCE)
    assert join(before, check_registration(registration()), 9).condition is Condition.MAINTENANCE


def test_plain_form_names_the_instance_and_drops_duplicates() -> None:
    checked = check_registration(registration(capabilities=("b", "a", "b"), tags=("t", "t")))
    assert (checked.instance, checked.capabilities, checked.tags) == ("default", ("b", "a"), ("t",))


@pytest.mark.parametrize(
    "fields",
    [{"group": "a/b"}, {"group": "health"}, {"instance": ""}, {"instance": "a b"}, {"version": "1 0"}],
)
def test_bad_ids_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidId):
        check_registration(registration(**fields))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": ""}, "agent_type"),
        ({"kind": "x\x00"}, "agent_type"),
        ({"capabilities": tuple(map(str, range(257)))}, "capabilities"),
        ({"services": ("x" * 1_025,)}, "services"),
        ({"labels": {str(number): "" for number in range(257)}}, "labels"),
        ({"endpoints": {"http": "x" * 1_025}}, "endpoints"),
        ({"metadata": {"x": "y" * 65_536}}, "metadata"),
    ],
)
def test_limits_are_kept(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRegistration, match=named):
        check_registration(registration(**fields))


@pytest.mark.parametrize("weight", [None, "3", True, 0, -1, float("inf"), 10**400, [1]])
def test_a_weight_that_is_no_positive_number_is_one(weight: object) -> None:
    assert weight_hint({"weight": weight}) == 1.0
    assert weight_hint({}) == 1.0


def test_a_positive_weight_is_taken() -> None:
    assert weight_hint({"weight": 2}) == 2.0
    assert weight_hint({"weight": 0.5}) == 0.5


def test_changes_name_endpoints_and_metadata_without_their_values() -> None:
    before = instance_view(tags=("a",), metadata={"token": "secret"}, endpoints={"http": "http://u:p@h"})
    old, new = declared_changes(before, instance_view(tags=("b",), version="2"))
    assert old == {"version": "1.0.0", "tags": ("a",), "endpoints": None, "metadata": None}
    assert new == {"version": "2", "tags": ("b",), "endpoints": None, "metadata": None}
