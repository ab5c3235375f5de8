"""Bounded texts and collections of request bodies."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from stellwerk.http.texts import PLAIN, whole

NAME_PATTERN = whole(r"[a-z0-9][a-z0-9._-]{0,62}")

Name = Annotated[
    str, Meta(pattern=NAME_PATTERN, description="Names the agent; free again when it is removed.")
]
Id = Annotated[str, Meta(min_length=1, max_length=253, pattern=PLAIN)]
Word = Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)]
Words = Annotated[list[Word], Meta(max_length=256)]
LabelName = Annotated[str, Meta(min_length=1, max_length=63, pattern=PLAIN)]
LabelValue = Annotated[str, Meta(max_length=253, pattern=PLAIN)]
Labels = Annotated[dict[LabelName, LabelValue], Meta(max_length=64)]
Version = Annotated[str, Meta(min_length=1, max_length=253, pattern=whole(r"[A-Za-z0-9._:+-]+"))]
Pem = Annotated[str, Meta(max_length=16_384)]
Fence = Annotated[int, Meta(ge=0, le=9_007_199_254_740_991, description="The lease of the delivered task.")]
Attempt = Annotated[int, Meta(ge=0, le=1_000_000)]
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
MaxTasks = Annotated[int, Meta(ge=1, le=10_000)]


class Wire(msgspec.Struct, kw_only=True, rename="camel"):
    """Anything on the wire."""


def null() -> Raw:
    """Stand for JSON that is not there."""
    return _NULL


def no_object() -> Raw:
    """Stand for an object that is not there."""
    return _EMPTY


_NULL = Raw(b"null")
_EMPTY = Raw(b"{}")
ANY_OBJECT: dict[str, Any] = {"x-replace": {"type": "object"}}
ANYTHING: dict[str, Any] = {"x-replace": {}}
