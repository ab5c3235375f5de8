"""One request and its answer on their way through the HTTP server, the usual kind by a shorter way.

The server below (uvicorn) takes a third of the time of a small request for what is the same every time: it
looks at every header of the answer with two patterns, arms and cancels a timer, hands head and body to the
kernel one after the other. The usual request is plain (a path that needs no parser), the usual answer is one
body of a known length; those take the shorter way here, and everything else goes the server's own.

The head of a usual answer waits for its body, which is the next thing that its application sends, and both
are one write: a second system call and packet cost a third of the kernel's time of a small answer (measured).
"""

import asyncio
import urllib.parse
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

Message = dict[str, Any]

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_ELSEWHERE = frozenset({b"connection", b"transfer-encoding"})
"""Headers of answers that the server must know of."""
_COPIED_BYTES = 65_536
"""Larger bodies are handed over beside the head instead of being copied behind it."""


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    _head: bytes | None = None
    """The head of a usual answer, until its body comes."""

    async def send(self, message: Any) -> None:
        """Take a part of the answer."""
        if not self.response_started:
            self._head = self._usual_head(message)
            if self._head is None:
                await super().send(message)
            else:
                self.response_started = True
                self.waiting_for_100_continue = False
            return
        head, self._head = self._head, None
        if head is None:
            await super().send(message)
            return
        body = message.get("body", b"")
        if message.get("more_body") or len(body) != self.expected_content_length or self.flow.write_paused:
            if not self.disconnected:
                self.transport.write(head)
            await super().send(message)
        elif not self.disconnected:
            if len(body) > _COPIED_BYTES:
                self.transport.writelines((head, body))
            else:
                self.transport.write(head + body)
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:  # The server stops.
                self.transport.close()
            self.on_response()

    def _usual_head(self, message: Message) -> bytes | None:
        """Return the head of an answer of known length on a connection that stays; None if it is another."""
        headers = [*self.default_headers, *message.get("headers", ())]
        names = dict(headers)
        length = names.get(b"content-length")
        if length is None or not self.keep_alive or self.scope["method"] == "HEAD":
            return None
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        # No header may smuggle in another. The server's own way refuses it with words.
        if lines.count(b"\n") + lines.count(b"\r") != 2 * len(headers) or b"\0" in lines:
            return None
        if not _ELSEWHERE.isdisjoint(names):
            return None
        self.expected_content_length = int(length)
        self.chunked_encoding = False
        return STATUS_LINE[message["status"]] + lines + b"\r\n"


class LeanProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle_since: float | None = None
        self._upgrading = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = self._upgrading = False
        self.headers = []
        self.scope = {  # type: ignore[typeddict-item]  # the rest follows with the head
            "type": "http",
            "asgi": _ASGI,  # type: ignore[typeddict-item]  # as the server has it
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": "",
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def on_headers_complete(self) -> None:
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        if parser.should_upgrade() and self._should_upgrade():
            self._upgrading = True
            return
        raw_path, scope["query_string"] = _split(self.url)
        path = raw_path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        before: RequestResponseCycle | None = self.cycle
        self.cycle = Cycle(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            False,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and parser.should_keep_alive(),
            self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if self._upgrading or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if not (self._upgrading or cycle.response_complete):
            cycle.more_body = False
            cycle.message_event.set()

    # One timer a connection, which finds out by itself what happened meanwhile: most are never due.

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_after(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request's target."""
    if url.startswith(b"/") and b"#" not in url and not url.startswith(b"//"):
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path, parsed.query or b""
