"""What parameters may be: a JSON schema, the application's own or the one that is built in.

References to other documents are refused instead of fetched, and patterns are matched in linear time: a
schema is a file of the application, but what is checked by it comes from callers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stellwerk.release.application.mapping import spelled
from stellwerk.release.spelling import did_you_mean

if TYPE_CHECKING:
    import jsonschema_rs

LONGEST_MESSAGE = 300
"""Characters: the validator repeats the value."""

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# Patterns here are Rust's and Kubernetes': `$` is the very end, and nothing can be looked ahead for.
_NAMESPACE = {"type": "string", "maxLength": 63, "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"}
_AMOUNT = {"type": ["string", "number"]}
_AMOUNTS = {"type": "object", "properties": {"memory": _AMOUNT, "cpu": _AMOUNT}}
_SHARED: dict[str, Any] = {
    "namespace": _NAMESPACE | {"description": "Namespace of objects that name none", "default": "default"},
    "namePrefix": {"type": "string", "description": "Stands before the names of objects", "default": ""},
    "replicas": {"type": "integer", "minimum": 0, "description": "Number of pods", "default": 1},
    "imageTag": {"type": "string", "description": "Tag of images"},
    "resources": {
        "type": "object",
        "description": "What containers ask for, and may take",
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS},
    },
    "storageSize": {"type": "string", "description": "Size of volumes"},
    "labels": _TEXTS | {"description": "Labels of objects"},
    "annotations": _TEXTS | {"description": "Annotations of objects"},
    "nodeSelector": _TEXTS | {"description": "Labels of the nodes that pods may run on"},
    "tolerations": {"type": "array", "items": {"type": "object"}, "description": "Taints that pods tolerate"},
}
_PROBE = {
    "type": "object",
    "properties": {
        "httpGet": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "port": {"type": "integer"}},
        },
        "initialDelaySeconds": {"type": "integer", "minimum": 0},
    },
}
BUILT_IN: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "global": {
            "type": "object",
            "description": "For every service that does not say otherwise",
            "properties": _SHARED
            | {
                "imageRegistry": {"type": "string", "description": "Stands before the names of images"},
                "imagePullSecrets": {
                    "type": "array",
                    "description": "Secrets to pull images with",
                    "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                },
                "storageClassName": {"type": "string", "description": "Class of volumes"},
                "keepPVC": {"type": "boolean", "description": "Keep volumes when services go"},
            },
        },
        "services": {
            "type": "object",
            "description": "For one service, or one group of them, by name",
            "additionalProperties": {
                "type": "object",
                "properties": _SHARED
                | {
                    "image": {"type": "string", "description": "Name of the image"},
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "config": {"type": "object", "description": "Of the program's own"},
                    "ingress": {
                        "type": "object",
                        "properties": {"enabled": {"type": "boolean"}, "host": {"type": "string"}},
                    },
                    "service": {
                        "type": "object",
                        "properties": {"type": {"type": "string"}, "annotations": _TEXTS},
                    },
                    "livenessProbe": _PROBE,
                    "readinessProbe": _PROBE,
                    "persistence": {
                        "type": "object",
                        "properties": {"enabled": {"type": "boolean"}, "size": {"type": "string"}},
                    },
                },
            },
        },
    },
}
"""Checks what has a usual meaning; further names within `global` and a service are the templates' own."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One value that is not as the schema wants it."""

    path: str
    """Such as `services.redis.replicas`."""
    message: str
    keyword: str = ""
    """Of JSON schema: `type`, `required` …"""


class UnusableSchema(ValueError):
    """The schema itself is wrong; the text says how."""


class Schema:
    """A schema, ready to check documents."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Compile. Raises UnusableSchema."""
        import jsonschema_rs

        self.document = document
        try:
            self._validator = jsonschema_rs.validator_for(
                dict(document), retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
            )
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise UnusableSchema(str(error).splitlines()[0]) from None

    def violations(self, value: Any) -> Iterator[Violation]:
        """List everything that is not as it should be, each with its path."""
        for error in self._validator.iter_errors(value):
            yield from _violations(error, self.document)


def _violations(error: "jsonschema_rs.ValidationError", schema: Mapping[str, Any]) -> Iterator[Violation]:
    from jsonschema_rs import ValidationErrorKind

    path = list(error.instance_path)
    if isinstance(error.kind, ValidationErrorKind.AdditionalProperties):
        known = _names(schema, list(error.schema_path)[:-1])
        for name in error.kind.unexpected:
            advice = did_you_mean(name, known)
            yield Violation(spelled([*path, name]), f"is not known; {advice}", "additionalProperties")
        return
    yield Violation(spelled(path), error.message[:LONGEST_MESSAGE], error.kind.name)


def _names(schema: Any, path: list[str | int]) -> list[str]:
    """Return the names that the part of the schema knows; none where the path leads through a reference."""
    for step in path:
        try:
            schema = schema[step]
        except (KeyError, IndexError, TypeError):
            return []
    known = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return list(known)


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} lies outside of the schema; copy it into `$defs`")
