"""At first contact only a pinned root is believed."""

import pytest

from stellwerk.agent.pinning import PinMalformed, PinMismatch, choose_pinned, read_pin
from support.agent_authority import TestAuthority

OURS, STRANGER = TestAuthority("ours"), TestAuthority("stranger")


def test_a_root_that_a_stranger_adds_is_left_out() -> None:
    assert choose_pinned(STRANGER.pem + OURS.pem, frozenset({OURS.sha256})) == OURS.pem


def test_no_pinned_root_is_a_refusal_that_names_what_was_offered() -> None:
    with pytest.raises(PinMismatch, match=STRANGER.sha256):
        choose_pinned(STRANGER.pem, frozenset({OURS.sha256}))


@pytest.mark.parametrize(
    "bundle", ["", "no pem", "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----"]
)
def test_a_bundle_that_is_none_is_a_refusal(bundle: str) -> None:
    with pytest.raises(PinMismatch):
        choose_pinned(bundle, frozenset({OURS.sha256}))


def test_a_fingerprint_may_be_written_as_tools_print_it() -> None:
    colons = ":".join(OURS.sha256[at : at + 2] for at in range(0, 64, 2)).upper()
    assert read_pin(f"sha256:{colons}") == read_pin(f" {OURS.sha256}\n") == OURS.sha256


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "a" * 63])
def test_anything_else_is_no_fingerprint(text: str) -> None:
    with pytest.raises(PinMalformed):
        read_pin(text)
