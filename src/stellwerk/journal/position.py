"""Places in the journal, and the opaque cursors that stand for them outside.

A place is a pair that both engines order alike: the number of the transaction (always 0 on SQLite, whose
single writer commits in order) and the number of the row.
"""

import base64
import binascii
from typing import NamedTuple


class Position(NamedTuple):
    """A place in the journal's order."""

    transaction: int
    row: int


BEGINNING = Position(0, 0)
"""Before the first event."""

BEYOND = Position(2**63 - 1, 2**63 - 1)
"""Behind every event."""

_VERSION = "1"
_LONGEST = 100


class UnknownCursor(Exception):
    """Refuse a cursor that this journal never gave out, or that lies ahead of a restored backup."""


def to_cursor(position: Position) -> str:
    """Return what a reader keeps."""
    text = f"{_VERSION}.{position.transaction}.{position.row}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> Position:
    """Return the place; raises UnknownCursor."""
    try:
        if len(cursor) > _LONGEST:
            raise UnknownCursor("The cursor is too long")
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        version, transaction, row = text.split(".")
        position = Position(int(transaction), int(row))
    except (ValueError, binascii.Error) as error:
        raise UnknownCursor("The cursor is not one of this journal") from error
    if version != _VERSION or not BEGINNING <= position <= BEYOND or max(position) > BEYOND.row:
        raise UnknownCursor("The cursor is not one of this journal")
    return position
