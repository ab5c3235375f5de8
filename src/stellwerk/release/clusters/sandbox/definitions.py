"""Custom resources: what their definition makes of a text, and what it refuses."""

from collections.abc import Mapping
from typing import Any

from stellwerk.release.application.schema import Schema, UnusableSchema
from stellwerk.release.clusters.errors import Refused
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body

ANYTHING = "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"
_OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")


def conformed(definition: Body, body: Body) -> Body:
    """Return a custom resource without what its schema does not know, with its defaults. Raises Refused."""
    schema = _schema(definition, body["apiVersion"].rpartition("/")[2])
    found = {name: value for name, value in body.items() if name in _OF_EVERY_OBJECT}
    found |= _pruned({name: value for name, value in body.items() if name not in found}, schema)
    what = f"{body['kind']}.{part(definition, 'spec').get('group')} {body['metadata']['name']!r}"
    try:
        wrong = list(Schema(_as_json_schema(schema)).violations(found))
    except UnusableSchema as error:
        raise Refused("invalid", f"{what}: its definition has an unusable schema: {error}", 422) from error
    if wrong:
        text = "; ".join(f"{one.path}: Invalid value: {one.message}" for one in wrong)
        raise Refused("invalid", f"{what} is invalid: {text}", 422)
    return found


def has_status(definition: Body, version: str) -> bool:
    """Whether the status of such resources is written apart from the rest."""
    return any(
        "status" in part(one, "subresources")
        for one in entries(part(definition, "spec"), "versions")
        if one.get("name") == version
    )


def _schema(definition: Body, version: str) -> Mapping[str, Any]:
    for one in entries(part(definition, "spec"), "versions"):
        if one.get("name") == version:
            return part(one, "schema", "openAPIV3Schema") or {ANYTHING: True}
    return {ANYTHING: True}


def _pruned(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_pruned(inner, part(schema, "items")) for inner in value]
    if not isinstance(value, dict) or schema.get(EITHER):
        return value
    known, others = part(schema, "properties"), schema.get("additionalProperties")
    found = {}
    for name, inner in value.items():
        if name in known:
            found[name] = _pruned(inner, known[name])
        elif schema.get(ANYTHING) or others:
            found[name] = _pruned(inner, others) if isinstance(others, dict) else inner
    return found | {
        name: one["default"] for name, one in known.items() if "default" in one and name not in found
    }


def _as_json_schema(schema: Any) -> Any:
    """Write what Kubernetes says in its own words as JSON schema does."""
    if isinstance(schema, list):
        return [_as_json_schema(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {name: _as_json_schema(value) for name, value in schema.items()}
    if schema.get(EITHER):
        found["type"] = ["integer", "string"]
    if schema.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found
