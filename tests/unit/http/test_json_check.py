"""Strict JSON: what is refused, and that nothing else is."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.http.json_check import InvalidJson, check_json, is_deeper

LIMIT = 64
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.5e-3, -0, true, false, null, "\\u00e9\\ud83d\\ude00"]}',
        b' \t\r\n{"a": 1}\r\n ',
        b'"text"',
        b"0",
        b"[]",
        b'{"a": {"b": 1}, "c": {"b": 1}}',
        b'{"a": "\\\\ud800"}',
        b"1e-999",
        '{"ü": "\U0001f600"}'.encode(),
    ],
)
def test_plain_json_passes(body: bytes) -> None:
    check_json(body, LIMIT)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "value is expected"),
        (b"   ", "value is expected"),
        (b"{", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b'{"a": 1} x', "something follows"),
        (b'{"a": 1}{"a": 1}', "something follows"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 01}', "not valid JSON"),
        (b'"\x01"', "not valid JSON"),
        (b'"\xff"', "not valid UTF-8"),
        (b'"\xed\xa0\x80"', "not valid UTF-8"),
        (b"\xef\xbb\xbf{}", "value is expected"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'[{"x": {"a": 1, "b": 2, "\\u0061": 3}}]', "'a' stands twice"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "out of range"),
        (b"[-1e999]", "out of range"),
        (b"1" * 5_000, "not valid JSON"),
        (b'"\\ud800"', "not valid JSON"),
        (b'"\\udc00"', "not valid JSON"),
        (b'{"\\uD83D": 1}', "not valid JSON"),
        (b'"\\ud800\\u0041"', "not valid JSON"),
        (b"[" * 65 + b"]" * 65, "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b"[[]," * 65 + b"[]" + b"]" * 65, "nested deeper"),
    ],
)
def test_what_readers_could_understand_differently_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(InvalidJson, match=why):
        check_json(body, LIMIT)


def test_the_limit_of_nesting_is_exact() -> None:
    check_json(b"[" * 64 + b"]" * 64, LIMIT)
    check_json(b'{"a":' * 64 + b"1" + b"}" * 64, LIMIT)
    with pytest.raises(InvalidJson):
        check_json(b'{"a":' * 65 + b"1" + b"}" * 65, LIMIT)


def test_brackets_in_strings_and_beside_each_other_are_no_nesting() -> None:
    check_json(json.dumps({"a": "[" * 1_000, 'b\\"[': '\\"{[' * 500}).encode(), LIMIT)
    check_json(json.dumps([[] for _ in range(10_000)]).encode(), LIMIT)


@given(VALUES)
def test_whatever_is_written_plainly_passes(value: Any) -> None:
    check_json(json.dumps(value).encode(), LIMIT)
    check_json(json.dumps(value, ensure_ascii=False).encode(), LIMIT)


@given(VALUES, st.integers(1, 8))
def test_depth_is_measured_as_it_is(value: Any, limit: int) -> None:
    def depth(inner: Any) -> int:
        if isinstance(inner, dict):
            return 1 + max(map(depth, inner.values()), default=0)
        return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0

    assert is_deeper(json.dumps(value).encode(), limit) == (depth(value) > limit)


@given(st.binary(max_size=40) | st.text('{}[]":,0123456789eE+-.\\utrfalsn d8c ', max_size=40).map(str.encode))
def test_whatever_passes_is_read_by_the_decoder_of_the_handlers(body: bytes) -> None:
    try:
        check_json(body, LIMIT)
    except InvalidJson:
        return
    msgspec.json.decode(body)


KEYS = st.sampled_from(["a", "b", ":", "a:b", '"', "\\"])
MEMBERS = st.lists(st.tuples(KEYS, KEYS | st.integers()), max_size=4)


@given(st.lists(MEMBERS, min_size=1, max_size=3))
def test_keys_that_stand_twice_are_found_whatever_stands_beside_them(objects: list[Any]) -> None:
    def written(members: list[tuple[str, Any]]) -> str:
        return "{" + ",".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members) + "}"

    body = f"[{','.join(map(written, objects))}]".encode()
    if all(len(dict(members)) == len(members) for members in objects):
        check_json(body, LIMIT)
    else:
        with pytest.raises(InvalidJson, match="stands twice"):
            check_json(body, LIMIT)
