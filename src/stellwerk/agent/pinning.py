"""First contact: getting the server's roots from the server itself, and believing only a pinned one.

The bundle comes over a connection that nobody vouches for, so only those of its roots are taken whose
fingerprint was given by the operator: a stranger in between may add roots of its own to the answer, and must
gain nothing. Registration then runs over a connection that such a root verifies, and its answer brings the
whole bundle.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from stellwerk.agent.transport import Hears, Transport
from stellwerk.agent.wire import Authorities

CA_PATH = "/api/v1/agents/ca"


class PinMismatch(Exception):
    """No root of the server has a fingerprint that was given."""


class PinMalformed(ValueError):
    """A fingerprint is not 64 hexadecimal digits."""


def read_pin(text: str) -> str:
    """Normalise a fingerprint: colons and a `sha256:` in front are allowed. Raises PinMalformed."""
    pin = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if len(pin) != 64 or not set(pin) <= set("0123456789abcdef"):
        raise PinMalformed(f"a CA fingerprint is 64 hexadecimal digits, not {text!r}")
    return pin


async def fetch_pinned(server: str, pins: Iterable[str], time: Hears, request_s: float) -> str:
    """Return the server's roots that are pinned, as PEM. Raises PinMismatch, Unreachable, Refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # The pin decides, below; nothing secret is sent.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    transport = Transport(server, context, time, request_s)
    try:
        offered = await transport.call("GET", CA_PATH, Authorities)
    finally:
        await transport.close()
    return choose_pinned(offered.ca, frozenset(pins))


def choose_pinned(bundle: str, pins: frozenset[str]) -> str:
    """Return the roots of a bundle whose fingerprint is pinned. Raises PinMismatch."""
    try:
        roots = x509.load_pem_x509_certificates(bundle.encode())
    except ValueError as error:
        raise PinMismatch(f"the server's CA bundle is no PEM: {error}") from error
    chosen = [root for root in roots if fingerprint(root) in pins]
    if not chosen:
        offered = ", ".join(fingerprint(root) for root in roots) or "none"
        raise PinMismatch(
            f"no root of the server has a fingerprint that was given with --ca-sha256; it offers {offered}. "
            "Compare with what `stellwerk ca show` prints on the server; if that differs, somebody is between"
        )
    return "".join(root.public_bytes(Encoding.PEM).decode() for root in chosen)


def fingerprint(root: x509.Certificate) -> str:
    """SHA-256 of the DER certificate, in hex."""
    return hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()
