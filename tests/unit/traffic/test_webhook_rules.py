"""Which webhooks are taken, and when one is called again."""

import pytest

from stellwerk.settings import TrafficSettings
from stellwerk.traffic.webhook import Address, Attempted, InvalidWebhook, check_address, next_attempt_at

SECOND = 1_000_000
TERMS = TrafficSettings()
REFUSED = Attempted(status=500, error="the receiver answered 500")


@pytest.mark.parametrize(
    "address",
    [
        Address("http://10.0.0.7:9000/done?token=x"),
        Address("https://example.org/", "secret", {"Authorization": "Bearer t", "X-A": ""}),
        Address("http://[::1]:8080/"),
    ],
)
def test_what_can_be_called_is_taken(address: Address) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        Address("http://a/\n"),
        Address("http://[::1/"),
        Address("http://a/" + "x" * 2_048),
        Address("http://é/"),
        Address("//a/"),
        Address("http://a/", ""),
        Address("http://a/", "s" * 1_025),
        Address("http://a/", None, {"": "x"}),
        Address("http://a/", None, {"X-A\n": "x"}),
        Address("http://a/", None, {"CONTENT-LENGTH": "1"}),
        Address("http://a/", None, {"x-agentfield-signature": "sha256=0"}),
        Address("http://a/", None, {f"X-{number}": "" for number in range(33)}),
    ],
)
def test_what_cannot_be_called_is_refused(address: Address) -> None:
    with pytest.raises(InvalidWebhook):
        check_address(address)


def test_pauses_double_up_to_their_cap_and_end_after_ten_minutes() -> None:
    pauses = [
        (next_attempt_at(REFUSED, attempts, 0, TERMS) or 0) // SECOND
        for attempts in range(1, TERMS.webhook_attempts + 1)
    ]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 0]
    assert 600 <= sum(pauses) <= 660


def test_what_was_taken_or_is_forbidden_is_not_tried_again() -> None:
    assert next_attempt_at(Attempted(status=204, error=None), 1, 0, TERMS) is None
    assert next_attempt_at(Attempted(status=None, error="forbidden", final=True), 1, 0, TERMS) is None
