"""Strict JSON: refuse a body that two readers could understand differently, before any handler reads it.

Refused are bad UTF-8, nesting beyond a limit, duplicate keys (RFC 8259 leaves their meaning open), NaN,
Infinity, numbers beyond a double, and escapes of half a surrogate pair. The bytes themselves are not
changed: the handler decodes the same text into its own types. The scanner of the standard library does the
work, because it alone reports duplicate keys; it recurses, so the depth is measured before it runs.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

WHITESPACE = " \t\n\r"
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
ALL_SQUARE = bytes.maketrans(b"{}", b"[]")
_SMALL_BYTES = 4_096
"""Larger bodies are not built up for a check."""
_parse = msgspec.json.Decoder().decode
HALF_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class InvalidJson(Exception):
    """The body is refused; the text says why."""


class _Refused(ValueError):
    """Carries a reason out of the scanner's callbacks."""


def check_json(body: bytes, depth_limit: int) -> None:
    """Raise InvalidJson unless the body is one strict JSON value nested at most `depth_limit` deep."""
    try:
        text = body.decode().strip(WHITESPACE)
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not valid UTF-8 (byte {error.start})") from None
    # Every level has an opening bracket, so few brackets prove a small depth; this settles nearly all bodies.
    if body.count(b"[") + body.count(b"{") > depth_limit and is_deeper(body, depth_limit):
        raise InvalidJson(f"The JSON is nested deeper than {depth_limit} levels")
    if len(body) < _SMALL_BYTES and _is_plain(body):
        return
    try:
        end = _scan(text, 0)[1]
    except StopIteration as error:
        raise InvalidJson(
            f"The body is not valid JSON: a value is expected at character {error.value}"
        ) from None
    except _Refused as error:
        raise InvalidJson(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise InvalidJson(f"The body is not valid JSON: {error}") from None
    if end != len(text):
        raise InvalidJson(f"The body is not valid JSON: something follows the value at character {end}")
    if HALF_SURROGATE.search(body):
        _check_surrogates(body)


def _is_plain(body: bytes) -> bool:
    """Tell whether a body is strict at a glance, at a third of the scanner's time.

    Every key has a colon. So where the fast parser finds as many keys as there are colons, no key stood twice
    (it would have been found once) and no string has a colon. Whatever else is for the scanner to judge.
    """
    try:
        value = _parse(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    keys, values = 0, [value]
    for one in values:
        if type(one) is dict:
            keys += len(one)
            values += one.values()
        elif type(one) is list:
            values += one
    return keys == body.count(b":")


def is_deeper(body: bytes, limit: int) -> bool:
    """Tell whether brackets outside strings nest deeper than the limit; exact for valid JSON.

    Strings are cut out with whole-buffer operations: without its escapes, a JSON text is outside a string
    in every second piece between quotes. Then each round removes the innermost pairs, which is one level.
    """
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(plain.split(b'"')[::2]).translate(ALL_SQUARE, NOT_BRACKETS)
    opened = b"[" * (limit + 1)
    for _ in range(limit):
        if opened in brackets:
            return True
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return False  # Closed, or unbalanced: the scanner refuses it.
        brackets = shorter
    return bool(brackets)


def _check_surrogates(body: bytes) -> None:
    try:
        msgspec.json.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidJson(f"The body is not valid JSON: {error}") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"The key {key[:100]!a} stands twice in one JSON object")
            seen.add(key)


def _float(text: str) -> None:
    number = float(text)
    if number - number != 0.0:
        raise _Refused(f"The number {text[:40]} is out of range")


def _constant(text: str) -> None:
    raise _Refused(f"{text} is not a JSON number")


# The callbacks answer None, so that checking a large body builds no second copy of it. `scan_once` is the C
# scanner; `decode` around it would only add the white space handling that is done above.
_decoder: Any = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
_scan = _decoder.scan_once
