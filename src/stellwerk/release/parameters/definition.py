"""The custom resource in which parameters may be kept: `DeploymentParameters`.

A JSON schema says more than the structural schemas that Kubernetes takes, and forbids what they cannot. So
only what both know goes into the definition, and every mapping keeps names that it does not know: the API
server would take them away without a word. What is refused is decided by the whole schema, before storing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stellwerk.release.objects import Body

KIND = "DeploymentParameters"

_KEPT = (
    "description", "enum", "format", "minimum", "maximum", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "maxProperties",
)  # fmt: skip
# No defaults: they would be written into what people stored, and no longer follow the application's.
# Nothing is required: the application's defaults may give it.
_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object"})
_OPEN: Mapping[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


@dataclass(frozen=True, slots=True)
class Resource:
    """How the resource is called in a cluster."""

    group: str = "conductor.io"
    version: str = "v1alpha1"
    plural: str = "deploymentparameters"

    @property
    def api_version(self) -> str:
        """Return `group/version`."""
        return f"{self.group}/{self.version}"


def definition(schema: Mapping[str, Any], resource: Resource | None = None) -> Body:
    """Return the CustomResourceDefinition whose `spec` is described by the schema."""
    named = resource or Resource()
    spec = structural(dict(schema) | {"type": "object"})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{named.plural}.{named.group}"},
        "spec": {
            "group": named.group,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": named.plural,
                "singular": named.plural.removesuffix("s"),
            },
            "versions": [
                {
                    "name": named.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }
            ],
        },
    }


def structural(schema: Any) -> dict[str, Any]:
    """Reduce a JSON schema to what a structural schema may say; anything is allowed where that is nothing."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if not isinstance(kind, str) or kind not in _TYPES:
        return dict(_OPEN) | _description(schema)
    result: dict[str, Any] = {"type": kind} | {name: schema[name] for name in _KEPT if name in schema}
    if kind == "array":
        result["items"] = structural(schema.get("items", {}))
    if kind == "object":
        result |= _object(schema)
    return result


def _object(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties, others = schema.get("properties"), schema.get("additionalProperties")
    if isinstance(properties, Mapping) and properties:
        return {"properties": {name: structural(one) for name, one in properties.items()}, **_OPEN}
    # Both at once are not allowed, and an empty schema for the others says nothing.
    return (
        {"additionalProperties": structural(others)}
        if isinstance(others, Mapping) and others
        else dict(_OPEN)
    )


def _description(schema: Any) -> dict[str, Any]:
    found = schema.get("description") if isinstance(schema, Mapping) else None
    return {"description": found} if isinstance(found, str) else {}
