"""What was chosen from the catalogue for a cause."""

from typing import Any

import msgspec


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that would fit as well, less surely."""

    workflow_id: str
    confidence: float
    rationale: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that was looked at, and what stood against it."""

    workflow_id: str
    errors: tuple[str, ...] = ()
    at: int
    """Microseconds UTC."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The workflow that fits best, ready to be carried out; nothing is carried out by choosing."""

    workflow_id: str
    name: str
    version: str
    action_type: str
    executor: str
    risk: str
    parameters: dict[str, Any]
    confidence: float
    rationale: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """All that choosing said; `choice` is None where nothing fits."""

    choice: Choice | None = None
    alternatives: tuple[Alternative, ...] = ()
    checked: tuple[Checked, ...] = ()
    release: int | None = None
    """The release of ours that introduced the cause, if one did."""
    released_by: str = ""
