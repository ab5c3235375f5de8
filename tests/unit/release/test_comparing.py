"""Which fields change."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.release.comparing import HIDDEN, FieldChange, changes, covers, covers_object
from support.worlds import body, patient

values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@patient
@given(values)
def test_everything_covers_itself_and_does_not_differ(value: Any) -> None:
    assert covers(value, value)
    assert changes(body(spec=value), body(spec=value)) == ()


@patient
@given(values, values)
def test_what_is_not_the_same_differs_somewhere(old: Any, new: Any) -> None:
    found = changes(body(spec=old), body(spec=new))
    same = covers(old, new) and covers(new, old)
    assert found or same


def test_defaults_of_the_server_are_covered_and_other_values_are_not() -> None:
    live = {"spec": {"replicas": 1, "strategy": {"type": "RollingUpdate"}, "list": [{"name": "a", "x": 1}]}}
    assert covers({"spec": {"replicas": 1, "list": [{"name": "a"}], "labels": {}}}, live)
    assert not covers({"spec": {"replicas": True}}, live)
    assert not covers({"spec": {"replicas": 2}}, live)
    assert not covers({"spec": {"list": []}}, live)
    assert not covers({"spec": {"more": "x"}}, live)


def test_changes_name_the_item_of_a_list_and_leave_out_what_the_server_writes() -> None:
    old = body(spec={"containers": [{"name": "web", "image": "a:1"}, {"name": "log", "image": "b"}]})
    new = body(spec={"containers": [{"name": "web", "image": "a:2"}]}, status={"ready": True})
    new["metadata"] |= {"resourceVersion": "9", "labels": {"a.b/c": "d"}}
    assert changes(old, new) == (
        FieldChange("metadata.labels", None, {"a.b/c": "d"}),
        FieldChange("spec.containers[name=log]", {"name": "log", "image": "b"}, None),
        FieldChange("spec.containers[name=web].image", "a:1", "a:2"),
    )


def test_order_of_a_named_list_is_a_change() -> None:
    old, new = [{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}]
    assert changes(body(spec=old), body(spec=new)) == (FieldChange("spec (order)", ["a", "b"], ["b", "a"]),)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [({"a": "b2xk"}, {"a": "bmV3"}, "data.a"), (None, {"a": "bmV3"}, "data"), ({"a": "b2xk"}, {}, "data.a")],
)
def test_values_of_secrets_are_never_shown(old: Any, new: Any, path: str) -> None:
    before = body("Secret", data=old) if old else body("Secret")
    (change,) = changes(before, body("Secret", data=new))
    assert change.path == path
    assert {change.old, change.new} <= {HIDDEN, None}


def test_a_secret_may_be_written_in_plain_text() -> None:
    live = body("Secret", data={"a": base64.b64encode(b"x").decode()})
    assert covers_object(body("Secret", stringData={"a": "x"}), live)
    assert not covers_object(body("Secret", stringData={"a": "y"}), live)
