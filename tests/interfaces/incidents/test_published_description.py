"""The description of the interface is golden: what clients generate from must not change by accident.

To take a change that is meant, run this file with `STELLWERK_GOLDEN=write` and read the difference.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from stellwerk.interfaces.incidents.interface import build
from stellwerk.settings import InquirySettings

GOLDEN = Path(__file__).parent / "openapi" / "incidents.json"


def described() -> Any:
    nothing: Any = None
    part = build(
        investigations=nothing,
        remedies=nothing,
        catalogue=nothing,
        journal=nothing,
        settings=InquirySettings(),
    )
    document = part.document()
    document["info"] = {**document["info"], "version": ""}
    return msgspec.json.decode(msgspec.json.encode(document))


def test_description_is_as_it_was_published():
    now = described()
    if os.environ.get("STELLWERK_GOLDEN") == "write":
        GOLDEN.write_bytes(msgspec.json.format(msgspec.json.encode(now, order="sorted"), indent=1) + b"\n")
    assert now == msgspec.json.decode(GOLDEN.read_bytes())
