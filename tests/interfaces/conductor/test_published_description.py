"""The description of the interface is golden: what clients generate from must not change by accident.

To take a change that is meant, run this file with `STELLWERK_GOLDEN=write` and read the difference.
"""

import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec

from stellwerk.interfaces.conductor.interface import build
from stellwerk.settings import ConductorSettings

GOLDEN = Path(__file__).parent / "openapi" / "conductor.json"


def described() -> dict[str, Any]:
    nothing: Any = Mock()
    part = build(
        deployer=nothing,
        watching=nothing,
        journal=nothing,
        database=nothing,
        loops=(),
        clock=nothing,
        settings=ConductorSettings(),
        namespace="default",
    )
    document = part.document()
    document["info"] = {**document["info"], "version": ""}
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return found


def test_description_is_as_it_was_published() -> None:
    now = described()
    if os.environ.get("STELLWERK_GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_bytes(msgspec.json.format(msgspec.json.encode(now, order="sorted"), indent=1) + b"\n")
    assert now == msgspec.json.decode(GOLDEN.read_bytes())


def test_every_endpoint_of_the_document_is_described() -> None:
    documented = {
        "/healthz": "get",
        "/readyz": "get",
        "/api/services": "get",
        "/api/services/health": "get",
        "/api/up": "post",
        "/api/down": "post",
        "/api/update": "post",
        "/api/events": "get",
        "/api/events/errors": "get",
        "/api/parameters": "get",
    }
    now = described()["paths"]
    assert all(method in now[path] for path, method in documented.items())
    assert "post" in now["/api/parameters"]
