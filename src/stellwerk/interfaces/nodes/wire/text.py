"""Bounded texts of request bodies.

Agents say much that nobody here asks for, so unknown fields are ignored everywhere; what is kept is bounded.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from stellwerk.http.texts import PLAIN, whole

ID_PATTERN = whole(r"[A-Za-z0-9._:-]+")

Id = Annotated[str, Meta(min_length=1, max_length=253, pattern=ID_PATTERN)]
ExecutionId = Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)]
Word = Annotated[str, Meta(max_length=253, pattern=PLAIN)]
Line = Annotated[str, Meta(max_length=1_024, pattern=PLAIN)]
Prose = Annotated[str, Meta(max_length=65_536)]
Tags = Annotated[list[Annotated[str, Meta(max_length=200, pattern=PLAIN)]], Meta(max_length=64)]
Milliseconds = Annotated[int, Meta(ge=0, le=9_007_199_254_740_991)]
Json = Annotated[Raw, Meta(extra_json_schema={"x-replace": {}})]
"""Any JSON value, kept as it is."""
JsonObject = Annotated[dict[str, Any], Meta(extra_json_schema={"x-replace": {"type": "object"}})]
ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": ID_PATTERN}


class Wire(msgspec.Struct, kw_only=True):
    """Anything on the wire."""


def null() -> Raw:
    """Stand for JSON that is not there."""
    return _NULL


_NULL = Raw(b"null")
