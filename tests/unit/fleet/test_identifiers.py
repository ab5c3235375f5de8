import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.fleet.errors import InvalidId
from stellwerk.fleet.identifiers import RESERVED, check_id, check_version

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:"


@given(st.text(LETTERS, min_size=1, max_size=253).filter(lambda text: text not in {*RESERVED, ".", ".."}))
def test_id_of_allowed_characters_is_returned_as_it_is(text: str) -> None:
    assert check_id(text) == text


@given(st.text(max_size=300))
def test_id_with_any_other_character_or_length_is_refused(text: str) -> None:
    plain = 1 <= len(text) <= 253 and set(text) <= set(LETTERS)
    if plain and text not in {*RESERVED, ".", ".."}:
        return
    with pytest.raises(InvalidId):
        check_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "a/b", "a b", "a\n", "a\x00", "ä", "a%2Fb", "x" * 254, "x" * 10_000, ".", "..", "\u0661"],
)
def test_bad_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        check_id(text)


@pytest.mark.parametrize(
    "word",
    ["register", "discover", "status", "queues", "submit", "schema", "values", "instances", "health"],
)
def test_path_word_of_an_interface_is_reserved(word: str) -> None:
    with pytest.raises(InvalidId, match="reserved"):
        check_id(word)


def test_refusal_names_the_field_and_never_repeats_a_bad_text() -> None:
    with pytest.raises(InvalidId) as refused:
        check_id("x\x1b[31m" * 1_000, "instance_id")
    assert refused.value.why.startswith("instance_id has 6000 characters")
    with pytest.raises(InvalidId) as refused:
        check_id("\x1b", "instance_id")
    assert "\x1b" not in str(refused.value)


def test_version_may_also_hold_a_plus() -> None:
    assert check_version("1.0.0+build.5") == "1.0.0+build.5"
    with pytest.raises(InvalidId):
        check_id("1.0.0+build.5")
    for bad in ("", "1 0", "v" * 254, "1/2"):
        with pytest.raises(InvalidId):
            check_version(bad)


def test_version_may_be_a_reserved_word() -> None:
    assert check_version("health") == "health"
