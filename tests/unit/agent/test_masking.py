"""Credential values do not get out."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.agent.masking import MASK, Masks


def test_a_value_is_hidden_in_the_forms_that_tools_repeat() -> None:
    masks = Masks({"registry.password": 'p&ss"word'})
    said = ['p&ss"word', "p%26ss%22word", 'p&ss\\"word', base64.b64encode(b'p&ss"word').decode()]
    assert [MASK in masks.hide(text) for text in said] == [True] * 4


def test_a_short_value_is_hidden_as_a_word_only() -> None:
    masks = Masks({"registry.username": "ci"})
    assert masks.hide("user ci, special") == "user ***, special"


def test_every_line_of_a_key_is_hidden() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n"
    assert Masks({"ssh.privateKey": key}).hide("saw mnopqrstuvwx") == "saw ***"


def test_values_and_keys_of_a_result_are_hidden() -> None:
    hidden = Masks({"env.TOKEN": "s3cr3t-token"}).hide_in({"s3cr3t-token": ["a s3cr3t-token", 3, None]})
    assert hidden == {MASK: [f"a {MASK}", 3, None]}


def test_without_credentials_nothing_changes() -> None:
    value = {"a": ["b"]}
    assert Masks({}).hide_in(value) is value


@given(st.text(min_size=6, max_size=40).filter(lambda text: len(text.strip()) >= 6), st.text(), st.text())
def test_no_long_value_is_left_anywhere(secret: str, before: str, after: str) -> None:
    hidden = Masks({"x": secret}).hide(f"{before}{secret}{after}")
    assert secret not in hidden.split(MASK)
