"""Reads what models write: JSON in prose, in fences, with names of every style and numbers as words."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST_STARTS = 20
"""Places where an object may begin that are tried: a long text of braces costs no more."""
LONGEST = 50_000
_FENCE = re.compile(r"```(?:json|JSON)?\s*\n?(.*?)```", re.DOTALL)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DECODER = json.JSONDecoder(strict=False)


def objects(text: str) -> Iterator[dict[str, Any]]:
    """List the JSON objects of a text, those of fences first."""
    text = text[:LONGEST]
    for piece in (*_FENCE.findall(text), text):
        yield from _objects_of(piece)


def as_object(value: Any) -> dict[str, Any] | None:
    """Return the object that a value is, or holds as text, or as the only item of a list."""
    for _ in range(3):  # encoded twice is seen, more often is not meant
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, Mapping):
            return {snake(str(name)): one for name, one in value.items()}
        if not isinstance(value, str):
            return None
        value = next(objects(value), None)
    return None


def snake(name: str) -> str:
    """Write a name with underscores: `rootCause` and `root-cause` are `root_cause`."""
    return _CAMEL.sub("_", name.strip()).replace("-", "_").replace(" ", "_").lower()


def text_of(value: Any, longest: int = 1_000) -> str:
    """Return a value as one line of text."""
    if isinstance(value, str):
        return " ".join(value.split())[:longest]
    if isinstance(value, bool) or value is None:
        return ""
    return str(value)[:longest] if isinstance(value, int | float) else ""


def share_of(value: Any) -> float:
    """Return a value as a number from 0 to 1: `0.9`, `"0.9"`, `"90%"`, `90`."""
    if isinstance(value, bool):
        return 0.0
    if isinstance(value, str):
        word = value.strip().rstrip("%")
        try:
            value = float(word) / (100 if value.strip().endswith("%") else 1)
        except ValueError:
            return {"high": 0.8, "medium": 0.5, "low": 0.2}.get(word.lower(), 0.0)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    if 1 < value <= 100:
        value = value / 100
    return round(min(1.0, max(0.0, float(value))), 3)


def list_of(value: Any) -> list[Any]:
    """Return a value as a list: what stands alone is a list of one."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _objects_of(piece: str) -> Iterator[dict[str, Any]]:
    at = -1
    for _ in range(MOST_STARTS):
        at = piece.find("{", at + 1)
        if at < 0:
            return
        try:
            value, end = _DECODER.raw_decode(piece, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield {snake(str(name)): one for name, one in value.items()}
            at = end - 1
