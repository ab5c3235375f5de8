import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.trust.enrolment.tokens import (
    Application,
    Reason,
    TokenRefused,
    TokenScope,
    check_scope,
    hash_token,
    write_token,
)


@given(st.binary(min_size=32, max_size=32))
def test_a_token_has_a_fixed_shape_and_hashes_to_one_value(secret: bytes) -> None:
    token = write_token(secret)
    assert len(token) == 4 + 43 + 6
    assert hash_token(token) == hash_token(write_token(secret))


@given(st.binary(min_size=32, max_size=32), st.integers(4, 52), st.sampled_from("aZ09_-"))
def test_a_mistyped_token_is_told_without_looking_for_it(secret: bytes, at: int, typed: str) -> None:
    token = write_token(secret)
    mistyped = token[:at] + typed + token[at + 1 :]
    if mistyped != token:
        with pytest.raises(TokenRefused) as refused:
            hash_token(mistyped)
        assert refused.value.reason is Reason.INVALID


@pytest.mark.parametrize(
    "text", ["", "reg_", "sw_a_b", "reg_" + "A" * 49, write_token(bytes(32)) + "\n", "é" * 53]
)
def test_what_is_no_token_is_invalid(text: str) -> None:
    with pytest.raises(TokenRefused):
        hash_token(text)


def test_a_scope_limits_name_and_capabilities_and_forces_labels() -> None:
    scope = TokenScope(name="a", capabilities=("docker", "ssh"), labels={"site": "x"})
    assert check_scope(scope, Application("a", ("ssh",), {"site": "y", "role": "r"})) == {
        "site": "x",
        "role": "r",
    }
    for wrong in (Application("b"), Application("a", ("docker", "winrm"))):
        with pytest.raises(TokenRefused) as refused:
            check_scope(scope, wrong)
        assert refused.value.reason is Reason.SCOPE


def test_an_empty_scope_leaves_everything_to_the_agent() -> None:
    assert check_scope(TokenScope(), Application("a", ("x",), {"l": "v"})) == {"l": "v"}
    with pytest.raises(TokenRefused):
        check_scope(TokenScope(capabilities=()), Application("a", ("x",)))
