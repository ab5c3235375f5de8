"""HTTP to the control plane: credentials, retries, and errors as this package's own.

A request is sent again when that is safe: no connection came about, the server said 429 or 503, or the caller
marked it `repeatable` (reads, and submissions under an idempotency key) and the connection broke in the
middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
import msgspec

from stellwerk.sdk.backoff import Backoff, chance
from stellwerk.sdk.errors import StellwerkError, Unreachable, refusal

T = TypeVar("T")

RETRIED = frozenset({429, 502, 503, 504})
_JSON = {"content-type": "application/json"}


class _Fault(msgspec.Struct):
    """An error body; the other fields are of no use here."""

    detail: Any = None
    code: Any = None


class Answer(msgspec.Struct, frozen=True):
    """What came back, whatever the status."""

    status: int
    body: bytes
    retry_after_s: float | None = None


class Transport:
    """One HTTP session to one control plane. Opens at first use; to be used on one event loop."""

    def __init__(
        self, server: str, *, api_key: str | None = None, timeout_s: float = 30.0, retry_s: float = 30.0
    ) -> None:
        self.server = server
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, opened now if it was not yet."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=256),
                # Nothing here sets cookies, and looking for them costs.
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections. Harmless when there are none."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        patience_s: float = 0.0,
    ) -> T:
        """Send a request and decode its answer; `patience_s` is added to the time-out (long polls).

        `repeatable` None means: reads are. Raises `Unreachable` and `Refused`.
        """
        again = repeatable if repeatable is not None else method == "GET"
        got = await self._with_retries(
            method, path, body=body, query=query, again=again, patience_s=patience_s
        )
        if got.status >= 300:
            raise fault_of(got)
        try:
            return msgspec.json.decode(got.body, type=answer)
        except msgspec.DecodeError as fault:
            raise StellwerkError(
                f"{method} {path} answered something else than was expected: {fault}"
            ) from fault

    async def _with_retries(
        self,
        method: str,
        path: str,
        *,
        body: Any,
        query: Mapping[str, str] | None,
        again: bool,
        patience_s: float,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._retry_s
        backoff = Backoff(cap_s=5.0)
        while True:
            wait_s = backoff.next_s(chance())
            try:
                got = await self.once(method, path, body=body, query=query, patience_s=patience_s)
            except (aiohttp.ClientError, TimeoutError, OSError) as fault:
                if (
                    not (again or isinstance(fault, aiohttp.ClientConnectorError))
                    or loop.time() + wait_s > give_up_at
                ):
                    raise Unreachable(
                        f"{method} {self.server}{path}: {fault or type(fault).__name__}"
                    ) from fault
            else:
                if got.status not in RETRIED:
                    return got
                wait_s = max(wait_s, got.retry_after_s or 0.0)
                # 502 and 504 come from something on the way and say nothing about what the server did.
                if got.status in (502, 504) and not again:
                    raise fault_of(got)
                if loop.time() + wait_s > give_up_at:
                    raise Unreachable(f"{method} {self.server}{path}: {fault_of(got)}")
            await asyncio.sleep(wait_s)

    async def once(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        patience_s: float = 0.0,
    ) -> Answer:
        """Send a request once and return the answer as it is. Raises aiohttp's errors."""
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        async with asyncio.timeout(self._timeout_s + patience_s):
            async with self.session.request(
                method,
                self.server + path,
                data=data,
                params=query,
                headers=_JSON if data is not None else None,
                # Where a redirect leads must not see the key.
                allow_redirects=False,
            ) as response:
                return Answer(
                    response.status, await response.read(), _seconds(response.headers.get("retry-after"))
                )


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else min(60.0, max(0.0, float(text)))
    except ValueError:
        return None


def fault_of(got: Answer) -> StellwerkError:
    """Turn an error answer into the error to raise: 5xx is `Unreachable`, the rest `Refused`."""
    try:
        fault = msgspec.json.decode(got.body, type=_Fault)
    except msgspec.DecodeError:
        fault = _Fault(detail=got.body[:200].decode("utf-8", "replace"))
    detail = fault.detail if isinstance(fault.detail, str) else str(fault.detail)
    if got.status >= 500:
        return Unreachable(f"{got.status}: {detail}")
    return refusal(got.status, detail, fault.code if isinstance(fault.code, str) else None)
