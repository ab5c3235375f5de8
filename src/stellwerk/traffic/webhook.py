"""Webhooks: what a caller may ask to be told of an execution's end, and when telling is tried again.

What was said is sealed before it is kept: addresses and headers carry credentials as often as the secret is
one. An attempt has failed unless it was answered with 2xx; only what the outbound policy forbids is not tried
again.
"""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

from stellwerk.clock import MICROSECONDS
from stellwerk.settings import TrafficSettings
from stellwerk.traffic.refusals import TrafficRefused
from stellwerk.work.retry import backoff_us

LONGEST_URL = 2_048
LONGEST_SECRET = 1_024
MOST_HEADERS = 32
MOST_HEADER_BYTES = 8_192
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name, by RFC 9110."""
OURS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-agentfield-signature",
        "x-execution-id",
        "x-webhook-attempt",
    }
)
"""Headers that say how the body travels, or that we said it."""


class InvalidWebhook(TrafficRefused):
    """A webhook that could never be called; the message shows neither its secret nor its headers' values."""


class Address(msgspec.Struct, frozen=True):
    """Where to tell, and what to show there."""

    url: str
    secret: str | None = None
    """Key of the signature; None sends none."""
    headers: Mapping[str, str] = {}


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt to tell."""

    status: int | None
    """None: there was no answer."""
    error: str | None
    """None: it was taken."""
    final: bool = False
    """Whether trying again is of no use."""


def check_address(address: Address) -> None:
    """Refuse what could never be called. Raises InvalidWebhook."""
    parts = _split(address.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidWebhook("`webhook.url` must be an absolute http or https URL")
    if len(address.url) > LONGEST_URL or not address.url.isascii() or not address.url.isprintable():
        raise InvalidWebhook(f"`webhook.url` has at most {LONGEST_URL} printable ASCII characters")
    if parts.username is not None or parts.password is not None:
        raise InvalidWebhook("`webhook.url` must not have credentials; send a header instead")
    if address.secret is not None and not 1 <= len(address.secret) <= LONGEST_SECRET:
        raise InvalidWebhook(f"`webhook.secret` has 1 to {LONGEST_SECRET} characters")
    _check_headers(address.headers)


def next_attempt_at(attempted: Attempted, attempts: int, now_us: int, terms: TrafficSettings) -> int | None:
    """Return when to tell again after attempt number `attempts` failed; None where it was the last."""
    if attempted.error is None or attempted.final or attempts >= terms.webhook_attempts:
        return None
    base_us, cap_us = (int(s * MICROSECONDS) for s in (terms.webhook_retry_s, terms.webhook_retry_cap_s))
    # Without chance: what failed together is few calls, and a receiver's operator can tell when to look.
    return now_us + backoff_us(attempts, base_us=base_us, cap_us=cap_us, jitter=1.0)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reads the port, which may be none
    except ValueError as error:
        raise InvalidWebhook(f"`webhook.url` is no URL: {error}") from error
    return parts


def _check_headers(headers: Mapping[str, str]) -> None:
    if len(headers) > MOST_HEADERS or sum(map(len, (*headers, *headers.values()))) > MOST_HEADER_BYTES:
        raise InvalidWebhook(f"`webhook.headers` are at most {MOST_HEADERS} of {MOST_HEADER_BYTES} bytes")
    for name, value in headers.items():
        if not TOKEN.fullmatch(name) or name.lower() in OURS:
            raise InvalidWebhook(f"`webhook.headers` cannot set {name[:100]!r}")
        if not value.isascii() or not (value.isprintable() or not value):
            raise InvalidWebhook(f"`webhook.headers`: {name} has characters that no header has")
