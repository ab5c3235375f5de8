"""Cursors stand for places, both ways."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.journal.position import BEYOND, Position, UnknownCursor, from_cursor, to_cursor

NUMBERS = st.integers(0, 2**63 - 1)


@given(NUMBERS, NUMBERS)
def test_a_cursor_leads_back_to_its_place(transaction: int, row: int) -> None:
    assert from_cursor(to_cursor(Position(transaction, row))) == (transaction, row)


@given(NUMBERS, NUMBERS)
def test_a_cursor_can_stand_in_an_address(transaction: int, row: int) -> None:
    assert to_cursor(Position(transaction, row)).replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=200))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with suppress(UnknownCursor):
        assert Position(0, 0) <= from_cursor(text) <= BEYOND


@pytest.mark.parametrize("place", [Position(-1, 0), Position(0, -1), Position(0, 2**63), Position(2**63, 0)])
def test_places_that_no_engine_can_have_are_refused(place: Position) -> None:
    with pytest.raises(UnknownCursor):
        from_cursor(to_cursor(place))
