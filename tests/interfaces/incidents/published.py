"""The two published OpenAPI files, as schemas that answers are held against."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

FOLDER = Path(__file__).parent / "openapi"
VERSIONS = ("v1.3.2", "v1.5.7")


@cache
def document(version: str) -> dict[str, Any]:
    """Read one of the files."""
    return dict(msgspec.json.decode((FOLDER / f"incidents-{version}.json").read_bytes()))


@cache
def validator(version: str, name: str) -> Any:
    """Make a validator of one component."""
    whole = document(version)
    return jsonschema_rs.validator_for({**_read(whole), "$ref": f"#/components/schemas/{name}"})


def faults(version: str, name: str, value: Any) -> list[str]:
    """List what a value does not keep of a component; empty if the version does not have it."""
    if name not in document(version)["components"]["schemas"]:
        return []
    return [error.message for error in validator(version, name).iter_errors(value)]


def _read(whole: dict[str, Any]) -> dict[str, Any]:
    """`nullable` is no word of OpenAPI 3.1; the file means a null."""
    return dict(_without_nullable({"components": whole["components"]}))


def _without_nullable(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nullable(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _without_nullable(one) for name, one in value.items() if name != "nullable"}
    if value.get("nullable") and isinstance(inner.get("type"), str):
        inner["type"] = [inner["type"], "null"]
    return inner
