"""Ids of groups, instances and versions: what they may look like."""

import re

from stellwerk.fleet.errors import InvalidId

MAX_LENGTH = 253
RESERVED = frozenset(
    {"register", "discover", "status", "queues", "submit", "schema", "values", "instances", "health"}
)

_ID = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_VERSION = re.compile(r"[A-Za-z0-9._:+-]{1,253}")
_DOTS = frozenset({".", ".."})


def check_id(text: str, what: str = "agent_id") -> str:
    """Return `text` if it can name a group or an instance; raise InvalidId otherwise.

    1–253 of letters, digits, `.`, `_`, `-`, `:`. Path words of the interfaces are reserved, and so are `.`
    and `..`, which clients resolve away in paths. `what` is the field that the message names.
    """
    if _ID.fullmatch(text) is None:
        raise InvalidId(_fault(text, what, "letters, digits, '.', '_', '-' and ':'"))
    if text in RESERVED or text in _DOTS:
        raise InvalidId(f"{what} {text!r} is reserved")
    return text


def check_version(text: str) -> str:
    """Return `text` if it can name a version (like an id, and `+`); raise InvalidId otherwise."""
    if _VERSION.fullmatch(text) is None:
        raise InvalidId(_fault(text, "version", "letters, digits, '.', '_', '-', ':' and '+'"))
    return text


def _fault(text: str, what: str, allowed: str) -> str:
    # the text itself is left out: it may be long or hold control characters
    if not text:
        return f"{what} must not be empty"
    if len(text) > MAX_LENGTH:
        return f"{what} has {len(text)} characters; at most {MAX_LENGTH} are allowed"
    return f"{what} may only hold {allowed}"
