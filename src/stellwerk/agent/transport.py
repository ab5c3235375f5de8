"""Requests to the control plane, with this agent's certificate, and what their refusals mean.

A transport belongs to one identity: connections keep the certificate they were opened with, so a renewed
identity gets a new transport.
"""

from __future__ import annotations

import ssl
from email.utils import formatdate
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec

from stellwerk.agent.wire import ErrorBody

T = TypeVar("T")

PING_S = 20.0
"""A task-stream whose server does not answer pings this far apart is dead."""
MESSAGE_BYTES = 4 * 1_048_576
"""Largest message that is taken: a task of 1 MiB with room."""
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


class Verdict(StrEnum):
    """What a refusal means for the agent."""

    REVOKED = "revoked"
    """Stop and do not come back."""
    REJOIN = "rejoin"
    """This identity is good for nothing any more; register again."""
    CONFLICT = "conflict"
    """Another process works under this identity."""
    LATER = "later"
    """The same again later."""
    FINAL = "final"
    """This request will never be granted; others may."""


VERDICTS = {
    "agent.revoked": Verdict.REVOKED,
    "agent.unknown": Verdict.REJOIN,
    "agent.certificate.expired": Verdict.REJOIN,
    "agent.certificate.superseded": Verdict.REJOIN,
    "agent.certificate.not_yet_valid": Verdict.LATER,
    "agent.certificate.invalid": Verdict.LATER,
    "agent.certificate.required": Verdict.LATER,
    "agent.token.invalid": Verdict.LATER,
    "agent.token.expired": Verdict.LATER,
    "agent.session.conflict": Verdict.CONFLICT,
}
CLOSE_VERDICTS = {4403: Verdict.REVOKED, 4409: Verdict.CONFLICT}
"""Close codes of the task-stream. 4401 and 4404 are judged by the next request, which names the reason."""


class Unreachable(Exception):
    """No answer, or none that can be understood; it may have been done all the same."""


class Refused(Exception):
    """The server answered and refused."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status} {code}: {message}" if code else f"{status}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def verdict(self) -> Verdict:
        """What it means for the agent."""
        if self.code in VERDICTS:
            return VERDICTS[self.code]
        return Verdict.LATER if self.status in LATER or self.status >= 500 else Verdict.FINAL

    @property
    def concerns_identity(self) -> bool:
        """Whether every other request would be refused as well."""
        return self.verdict in (Verdict.REVOKED, Verdict.REJOIN)


class Hears(Protocol):
    """Learns the server's time."""

    def heard(self, date: str | None) -> None: ...


class Transport:
    """Calls one server; to be closed. Make it within a running event loop."""

    def __init__(self, server: str, context: ssl.SSLContext, time: Hears, request_s: float) -> None:
        self.server = server.rstrip("/")
        self._time = time
        self._request_s = request_s
        self.worked = False
        """Whether a request has succeeded."""
        self.ticket: str | None = None
        """Token that goes with every request: behind a proxy that ends TLS it proves what TLS proves else."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=16),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=request_s),
        )

    async def call(
        self, method: str, path: str, answer: type[T], body: Any = None, headers: dict[str, str] | None = None
    ) -> T:
        """Send one request. Raises Unreachable, Refused."""
        sent = None if body is None else msgspec.json.encode(body)
        # The date lets the server see a clock that is wrong.
        named = {"accept": "application/json", "date": formatdate(usegmt=True), **self._bearer()}
        named |= headers or {}
        if sent is not None:
            named["content-type"] = "application/json"
        try:
            async with self._session.request(
                method, self.server + path, data=sent, headers=named, allow_redirects=False
            ) as response:
                raw = await _read(response)
                self._time.heard(response.headers.get("date"))
                if not 200 <= response.status < 300:
                    raise refusal(response.status, raw, response.headers.get("retry-after"))
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise Unreachable(describe(error)) from error
        try:
            decoded = msgspec.json.decode(raw, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreachable(f"{method} {path} was answered with something else: {error}") from error
        self.worked = True
        return decoded

    async def open_stream(self, path: str) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket. Raises Unreachable, Refused."""
        try:
            return await self._session.ws_connect(
                self.server + path,
                protocols=("agent.v1",),
                headers=self._bearer(),
                heartbeat=PING_S,
                max_msg_size=MESSAGE_BYTES,
                compress=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            # aiohttp keeps no body of a refused handshake; the next heartbeat names the reason.
            raise Refused(error.status, "", f"the handshake was answered with {error.status}") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise Unreachable(describe(error)) from error

    def _bearer(self) -> dict[str, str]:
        return {} if self.ticket is None else {"authorization": f"Bearer {self.ticket}"}

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > MESSAGE_BYTES:
            raise aiohttp.ClientPayloadError("the answer is too long")
    return bytes(raw)


def client_context(bundle: str | None, pair: Path | None) -> ssl.SSLContext:
    """Make a context that trusts `bundle` alone (None: the system's roots) and shows `pair`.

    Raises OSError (ssl.SSLError is one) for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if bundle is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=bundle)
    if pair is not None:
        context.load_cert_chain(pair)
    return context


def refusal(status: int, raw: bytes, retry_after: str | None = None) -> Refused:
    """Read an error body; whatever it is, the status stays."""
    try:
        fault = msgspec.json.decode(raw, type=ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Refused(status, "", raw[:200].decode(errors="replace") or "no reason given")
    wait = float(retry_after) if retry_after and retry_after.isdigit() else None
    return Refused(status, fault.code, fault.message, wait)


def describe(error: BaseException) -> str:
    """Say what failed and, where the cause is known, what would help."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        code = getattr(inner, "verify_code", 0)
        hint = "; is this machine's clock right?" if code in (9, 10) else ""
        return f"the server's certificate is not trusted: {getattr(inner, 'verify_message', inner)}{hint}"
    return str(error) or type(error).__name__
