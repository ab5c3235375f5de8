"""YAML as Kubernetes reads it."""

from typing import Any

import pytest

from stellwerk.release.documents import Malformed, read_documents


def values(text: str) -> list[Any]:
    return [document.value for document in read_documents(text)]


def refused(text: str) -> Malformed:
    with pytest.raises(Malformed) as caught:
        values(text)
    return caught.value


def test_documents_without_content_are_left_out() -> None:
    assert values("---\n# only a comment\n---\na: 1\n---\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]
    assert values("") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("-12", -12),
        ("1_000", 1000),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        ("yes", True),
        ("Off", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("22:22", "22:22"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1.2.3", "1.2.3"),
        ("08", 8.0),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("nobody", "nobody"),
        ("=", "="),
    ],
)
def test_scalars_are_what_kubernetes_makes_of_them(text: str, value: object) -> None:
    read = values(f"a: {text}\n")[0]["a"]
    assert (read, type(read)) == (value, type(value))


def test_names_become_text() -> None:
    assert values("80: a\non: b\n~: c\n'x y': d\n") == [{"80": "a", "true": "b", "null": "c", "x y": "d"}]


def test_aliases_are_copies_and_own_names_win_over_merged_ones() -> None:
    (value,) = values("base: &b {x: 1, y: 2}\nfirst: {<<: *b, x: 3}\nboth: {<<: [{z: 9}, *b]}\nagain: *b\n")
    assert value["first"] == {"x": 3, "y": 2}
    assert value["both"] == {"x": 1, "y": 2, "z": 9}
    assert value["again"] == value["base"] and value["again"] is not value["base"]


def test_text_that_stands_for_a_billion_values_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "stands for more than" in refused("\n".join(lines)).message


def test_alias_of_itself_is_refused() -> None:
    assert "nested deeper" in refused("a: &a [*a]").message
    assert "nested deeper" in refused("a: &a {<<: *a}").message


def test_deep_nesting_is_refused() -> None:
    assert "nested deeper" in refused("[" * 100_000 + "]" * 100_000).message


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: 1\nb:\n\tc: 1\n", 3, "spaces"),
        ("a: 1\nb: 2\na: 3\n", 3, "`a` stands twice"),
        ("a: b: c\n", 1, "quote the value"),
        ("ok: 1\nx: !!binary aGk=\n", 2, "leave the tag out"),
        ("x: !thing {a: 1}\n", 1, "!thing"),
        ("x: !!set {a, b}\n", 1, "set"),
        ("x: !!int abc\n", 1, "cannot be read"),
        ("a: 1\nx: .inf\n", 2, "no number that JSON has"),
        ("[a, b]: 1\n", 1, "plain text"),
        ("x: *nowhere\n", 1, "undefined alias"),
        ("a: 1\n---\nb: 'open\n", 4, "not valid YAML"),
        ("x: {<<: 1}\n", 1, "takes a mapping"),
    ],
)
def test_what_is_refused_names_its_line_and_what_helps(text: str, line: int, part: str) -> None:
    fault = refused(text)
    assert part in f"{fault.message} {fault.advice}"
    assert fault.line == line


def test_a_value_knows_its_line() -> None:
    (_, second) = read_documents("a: 1\n---\nmetadata:\n  name: x\n  list:\n    - one\n    - two: 2\n")
    assert second.line_of() == 3
    assert second.line_of(["metadata", "name"]) == 4
    assert second.line_of(["metadata", "list", 1, "two"]) == 7
    assert second.line_of(["metadata", "labels", "app"]) == 3
