"""Bounded texts and collections of request bodies, without control characters where they are kept or shown.

`x-replace` in a schema stands for the whole of it: the description then tells more than the decoder checks,
because the interface refuses those values in words of its own.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Raw

from stellwerk.http.texts import PLAIN, whole

ID_PATTERN = whole(r"[A-Za-z0-9._:-]+")
VERSION_PATTERN = whole(r"[A-Za-z0-9._:+-]+")

Id = Annotated[str, Meta(min_length=1, max_length=253, pattern=ID_PATTERN)]
Word = Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)]
Words = Annotated[list[Word], Meta(max_length=256)]
Labels = Annotated[dict[Word, Annotated[str, Meta(max_length=500, pattern=PLAIN)]], Meta(max_length=64)]
Endpoints = Annotated[dict[Word, Annotated[str, Meta(max_length=1024, pattern=PLAIN)]], Meta(max_length=32)]
LoadMetrics = Annotated[dict[Word, float], Meta(max_length=64)]
Score = Annotated[float, Meta(ge=0.0, le=1.0)]
Capacity = Annotated[int, Meta(ge=1, le=10_000)]
"""Tasks at once."""
Fence = Annotated[int, Meta(ge=0, le=9_007_199_254_740_991, description="The lease of the assignment.")]


def no_json() -> Raw:
    """Stand for JSON that is not there."""
    return _NULL


_NULL = Raw(b"null")


def one_of(words: type[StrEnum], *, or_null: bool = False) -> Meta:
    """Describe a text as one of the words; the route checks it, to name the word that is none."""
    schema = {"type": "string", "enum": [word.value for word in words]}
    return Meta(extra_json_schema={"x-replace": {"anyOf": [schema, {"type": "null"}]} if or_null else schema})
