"""Which documents of parameters are refused."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stellwerk.release.application.application import Application
from stellwerk.release.application.schema import BUILT_IN, Schema, Violation
from stellwerk.release.parameters.merging import effective

LARGEST = 256 * 1024
"""Bytes of one document: far below what the API server takes of a custom resource."""


def violations(application: Application, spec: Any) -> list[Violation]:
    """List what is wrong with a document, laid over the application's defaults."""
    if shape := _misshapen(spec):
        return shape
    size = len(msgspec.json.encode(spec))
    if size > LARGEST:
        return [Violation("the document", f"has {size} bytes, {LARGEST} are allowed")]
    return list(Schema(application.schema or BUILT_IN).violations(effective(application, spec)))


def _misshapen(spec: Any) -> list[Violation]:
    """List what cannot be laid over anything, whatever a schema says."""
    if not isinstance(spec, Mapping):
        return [Violation("the document", "is not an object", "type")]
    found = [
        Violation(name, "is not an object", "type")
        for name in ("global", "services")
        if not isinstance(spec.get(name), Mapping | None)
    ]
    services = spec.get("services")
    return found + [
        Violation(f"services.{name}", "is not an object", "type")
        for name, value in (services.items() if isinstance(services, Mapping) else ())
        if not isinstance(value, Mapping | None)
    ]
