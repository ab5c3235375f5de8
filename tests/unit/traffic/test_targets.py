"""Targets: ids with dots, functions of some versions, and what may be repeated."""

from typing import Any

import pytest
from msgspec.structs import replace

from stellwerk.fleet.model import AgentView
from stellwerk.settings import FunctionSettings
from stellwerk.traffic.execution import Target
from stellwerk.traffic.functions import Function, functions_of, resolve
from stellwerk.traffic.refusals import UnknownTarget
from support.fleet import agent_view, instance_view


def node(group: str, *registered: tuple[str, dict[str, Any]]) -> AgentView:
    instances = [
        instance_view(f"i{number}", version=version, metadata=metadata)
        for number, (version, metadata) in enumerate(registered)
    ]
    return replace(agent_view(group, *instances), joined_through="nodes")


def offers(*names: str, tags: tuple[str, ...] = (), skills: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "reasoners": [{"id": name, "tags": list(tags)} for name in names],
        "skills": [{"id": name} for name in skills],
    }


AGENTS = {
    "a": node("a", ("1", offers("f", "b.f"))),
    "a.b": node("a.b", ("1", offers("f", skills=("add",)))),
    "worker": replace(node("worker", ("1", offers("f"))), joined_through="coordinator"),
}


def found(text: str) -> Target:
    return resolve(text, AGENTS.get, lambda view: functions_of(view, {}))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("a.f", Target("a", "f")),
        ("a.b.f", Target("a.b", "f")),
        ("a.b.add", Target("a.b", "add", "skill")),
    ],
)
def test_the_longest_registered_id_wins(text: str, target: Target) -> None:
    assert found(text) == target


@pytest.mark.parametrize(
    "text", ["", ".", "a", "a.", ".f", "a.g", "x.f", "worker.f", "a..f", "f\0.g", "a.f" * 400]
)
def test_what_nobody_registered_is_refused(text: str) -> None:
    with pytest.raises(UnknownTarget):
        found(text)


def test_a_function_is_known_with_the_versions_that_have_it() -> None:
    view = node("a", ("1", offers("f")), ("2", offers("f", "g")))
    functions = functions_of(view, {})
    assert {name: one.versions for name, one in functions.items()} == {"f": {"1", "2"}, "g": {"2"}}


def test_a_function_may_be_repeated_only_if_every_version_says_so() -> None:
    both = node("a", ("1", offers("f", tags=("idempotent",))), ("2", offers("f", tags=("idempotent",))))
    one = node("a", ("1", offers("f", tags=("idempotent",))), ("2", offers("f")))
    assert functions_of(both, {})["f"].idempotent
    assert not functions_of(one, {})["f"].idempotent


def test_operators_may_say_that_a_function_may_be_repeated() -> None:
    view = node("a", ("1", offers("f", "g")))
    functions = functions_of(view, {"a.f": FunctionSettings(idempotent=True)})
    assert {name: function.idempotent for name, function in functions.items()} == {"f": True, "g": False}


@pytest.mark.parametrize("rubbish", [None, 5, "x", [1], [{"id": 5}], [{"tags": ["idempotent"]}]])
def test_rubbish_in_the_metadata_is_no_function(rubbish: Any) -> None:
    assert functions_of(node("a", ("1", {"reasoners": rubbish})), {}) == {}


def test_tags_that_are_no_list_are_no_tags() -> None:
    view = node("a", ("1", {"reasoners": [{"id": "f", "tags": "idempotent"}]}))
    assert functions_of(view, {}) == {"f": Function("reasoner", False, frozenset({"1"}))}
