"""Calls to a Prometheus, or to what speaks its API (Thanos, Mimir, VictoriaMetrics).

Its address is the operator's, so it may be anywhere; but it is asked as a stranger: no redirects, a limit on
time and on bytes, and an answer of any other shape is a refusal.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec

MOST_BYTES = 2 * 1024 * 1024
"""Of one answer: sixty points of a few hundred containers are half of it."""
CONNECT_S = 2.0
_CHUNK = 64 * 1024


class MetricsUnavailable(Exception):
    """Prometheus gave no usable answer; the text says why, without its address's credentials."""


class Window(NamedTuple):
    """A span of time, in seconds since 1970, and the distance of its points."""

    start_s: int
    end_s: int
    step_s: int


class Asked(NamedTuple):
    """How the last question ended."""

    at: float
    """On the event loop's clock."""
    wrong: str | None
    """None if it was answered."""


class Matrix(msgspec.Struct, frozen=True):
    """One series of an answer."""

    metric: Mapping[str, str]
    values: Sequence[tuple[float, str]] = ()


class _Data(msgspec.Struct, frozen=True):
    result: Sequence[Matrix] = ()


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data = _Data()
    error: str = ""


class Prometheus:
    """One Prometheus. Nothing is opened before the first question."""

    def __init__(self, url: str, *, token_file: Path | None = None, ca_file: Path | None = None) -> None:
        """`token_file` is read at every question: tokens of service accounts change every hour."""
        self._url = url.rstrip("/") + "/api/v1/query_range"
        self._token_file, self._ca_file = token_file, ca_file
        self._opened: aiohttp.ClientSession | None = None
        self.last: Asked | None = None

    async def ask(self, query: str, window: Window, limit_s: float) -> Sequence[Matrix]:
        """Ask for a query's values over a window. Raises MetricsUnavailable."""
        now = asyncio.get_running_loop().time
        try:
            answer = await self._ask(query, window, limit_s)
        except MetricsUnavailable as error:
            self.last = Asked(now(), str(error))
            raise
        self.last = Asked(now(), None)
        return answer

    async def _ask(self, query: str, window: Window, limit_s: float) -> Sequence[Matrix]:
        try:
            async with asyncio.timeout(limit_s):
                status, body = await self._get(query, window)
        except TimeoutError as error:
            raise MetricsUnavailable(f"no answer within {limit_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise MetricsUnavailable(_told(error)) from error
        return _read(status, body)

    async def close(self) -> None:
        """Let the connections go."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def _get(self, query: str, window: Window) -> tuple[int, bytes]:
        asked = {
            "query": query,
            "start": str(window.start_s),
            "end": str(window.end_s),
            "step": str(window.step_s),
        }
        async with self._session().get(
            self._url, params=asked, headers=self._headers(), allow_redirects=False
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > MOST_BYTES:
                    raise MetricsUnavailable(f"an answer of more than {MOST_BYTES} bytes")
            return answer.status, bytes(body)

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            trusted = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trusted),
                timeout=aiohttp.ClientTimeout(None, sock_connect=CONNECT_S),
                trust_env=False,
            )
        return self._opened


def _read(status: int, body: bytes) -> Sequence[Matrix]:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MetricsUnavailable(f"status {status}, and no answer of Prometheus' API") from error
    if status != 200 or answer.status != "success":
        raise MetricsUnavailable(f"status {status}: {answer.error[:200] or 'refused'}")
    return answer.data.result


def _told(error: BaseException) -> str:
    """Say what is wrong without the address: it may hold a password."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it cannot be reached: {error.os_error.strerror or type(error.os_error).__name__}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return type(error).__name__
