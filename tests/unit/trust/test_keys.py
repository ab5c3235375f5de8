"""Tokens, and the judgement over a key."""

from dataclasses import replace

import pytest

from stellwerk.trust.keys import (
    InvalidKey,
    Key,
    Refusal,
    ScopesExceeded,
    check_new_key,
    hash_secret,
    read_token,
    refusal_of,
    write_token,
)
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope

SECRET = b"\x07" * 32
NOW = 1_000_000
KEY = Key(
    "3f9a1c", "ci", hash_secret(SECRET.hex()), frozenset({Scope.TASKS_READ}), 0, None, None, None, "local"
)


def test_a_token_is_read_as_it_was_written() -> None:
    assert read_token(write_token("3f9a1c", SECRET)) == ("3f9a1c", SECRET.hex())


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sw",
        "sw_",
        "sw_a_",
        "sw__" + "0" * 64,
        "xx_a_" + "0" * 64,
        "sw_a_" + "0" * 63,
        "sw_a_" + "0" * 64 + "_b",
    ],
)
def test_what_is_no_token_is_not_read(token: str) -> None:
    assert read_token(token) is None


def test_the_right_secret_is_good() -> None:
    assert refusal_of(KEY, SECRET.hex(), NOW) is None


def test_a_wrong_secret_is_refused_before_the_key_tells_its_state() -> None:
    revoked = replace(KEY, revoked_at=1)
    assert refusal_of(revoked, "00" * 32, NOW) is Refusal.WRONG_SECRET
    assert refusal_of(revoked, SECRET.hex(), NOW) is Refusal.REVOKED


def test_a_key_expires_at_its_instant() -> None:
    key = replace(KEY, expires_at=NOW)
    assert refusal_of(key, SECRET.hex(), NOW - 1) is None
    assert refusal_of(key, SECRET.hex(), NOW) is Refusal.EXPIRED


@pytest.mark.parametrize("name", ["", " ci", "ci ", "a\nb", "a\x00", "x" * 101])
def test_a_name_must_be_short_and_printable(name: str) -> None:
    with pytest.raises(InvalidKey):
        check_new_key(name, frozenset({Scope.ADMIN}), None, LOCAL, NOW)


def test_a_key_needs_a_scope_and_a_future() -> None:
    with pytest.raises(InvalidKey):
        check_new_key("ci", frozenset(), None, LOCAL, NOW)
    with pytest.raises(InvalidKey):
        check_new_key("ci", frozenset({Scope.ADMIN}), NOW, LOCAL, NOW)


def test_nobody_gives_away_more_than_he_has() -> None:
    keeper = Principal("key:1", "keeper", frozenset({Scope.KEYS_ADMIN, Scope.TASKS_ADMIN}))
    check_new_key("ci", frozenset({Scope.TASKS_READ}), None, keeper, NOW)
    with pytest.raises(ScopesExceeded, match="fleet:read"):
        check_new_key("ci", frozenset({Scope.TASKS_READ, Scope.FLEET_READ}), None, keeper, NOW)
