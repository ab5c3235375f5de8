"""The custom resource in which parameters may be kept."""

from collections.abc import Iterator
from typing import Any

from stellwerk.release.application.schema import BUILT_IN
from stellwerk.release.parameters.definition import Resource, definition, structural


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    yield schema
    for one in schema.get("properties", {}).values():
        yield from parts(one)
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from parts(schema[name])


def spec_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def test_definition_is_named_as_the_note_says() -> None:
    body = definition(BUILT_IN)
    assert body["metadata"] == {"name": "deploymentparameters.conductor.io"}
    assert body["spec"]["names"] == {
        "kind": "DeploymentParameters",
        "listKind": "DeploymentParametersList",
        "plural": "deploymentparameters",
        "singular": "deploymentparameter",
    }
    other = definition(BUILT_IN, Resource("mycompany.io", "v1", "appparameters"))
    assert other["metadata"] == {"name": "appparameters.mycompany.io"}


def test_every_part_has_a_type_or_is_open_and_nothing_is_taken_away() -> None:
    for part in parts(spec_of(definition(BUILT_IN))):
        assert "type" in part or part.get("x-kubernetes-preserve-unknown-fields")
        assert "default" not in part
        if part.get("type") == "object":
            assert part.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in part
            assert not ("properties" in part and "additionalProperties" in part)
    assert spec_of(definition(BUILT_IN))["properties"]["global"]["properties"]["replicas"] == {
        "type": "integer",
        "minimum": 0,
        "description": "Number of pods",
    }


def test_what_a_structural_schema_cannot_say_is_left_open() -> None:
    schema = {
        "properties": {
            "a": {"$ref": "#/$defs/a"},
            "b": {"type": ["string", "null"], "description": "either"},
            "c": {"type": "array", "items": {"oneOf": [{}]}, "uniqueItems": True},
            "d": True,
        },
        "additionalProperties": False,
    }
    open_ = {"x-kubernetes-preserve-unknown-fields": True}
    assert spec_of(definition(schema)) == {
        "type": "object",
        "properties": {
            "a": open_,
            "b": open_ | {"description": "either"},
            "c": {"type": "array", "items": open_},
            "d": open_,
        },
        **open_,
    }
    assert structural(True) == open_
