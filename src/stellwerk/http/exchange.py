"""One request or one WebSocket on its way through the gate: what was sent, and how it is refused or ended."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from stellwerk.http.body import ClientLeft, Message, Receive
from stellwerk.http.problem import Problem, RenderProblem

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Note = Callable[[Scope, int], None]
"""Is told of every answer from 400 on."""

FAILED = 1011
"""RFC 6455: the server met an unexpected condition."""


class Exchange:
    """An HTTP request and its answer. `send` adds the headers that every answer has."""

    __slots__ = ("_extra", "_note", "_render", "_request_id", "_scope", "_send", "finished", "started")

    def __init__(
        self, scope: Scope, send: Send, render: RenderProblem, *, extra: Headers, note: Note
    ) -> None:
        self._scope = scope
        self._send = send
        self._render = render
        self._extra = extra
        self._note = note
        self._request_id: str = scope["state"]["request_id"]
        self.started = False
        self.finished = False

    async def send(self, message: Message) -> None:
        """Pass a message of the application on."""
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message.get("headers", ()), *self._extra]
            if message["status"] >= 400:
                self._note(self._scope, message["status"])
        elif not message.get("more_body"):
            self.finished = True
        await self._send(message)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer at once."""
        if status != 204:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, problem: Problem) -> None:
        """Answer with the problem, unless something else was answered already."""
        if not self.started:
            self._scope["state"]["problem"] = problem
            await self.respond(*self._render(problem, self._request_id))

    async def finish(self) -> None:
        """Complete an answer that the application left open."""
        if self.started and not self.finished:
            await self.send({"type": "http.response.body", "body": b""})


class WebSocketExchange:
    """A WebSocket. Before it is accepted it is refused over HTTP, in the interface's shape."""

    __slots__ = ("_accepted", "_note", "_receive", "_render", "_scope", "_send", "left")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, render: RenderProblem, note: Note
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._render = render
        self._note = note
        self._accepted = False
        self.left = False
        """Whether the other side is gone."""

    async def receive(self) -> Message:
        """Take the next message."""
        message = await self._receive()
        self.left = message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Pass a message of the application on; a `close` before `accept` is a refusal."""
        closes = message["type"] == "websocket.close"
        if closes and not self._accepted:
            problem = self._scope["state"].get("problem")
            await self.refuse(problem or Problem.forbidden("The WebSocket was refused"))
        elif not (closes and self.left):  # Nobody is there to be told.
            self._accepted = True
            await self._pass(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer the handshake with the problem, or close what is open already."""
        if self._accepted:
            await self.send({"type": "websocket.close", "code": FAILED, "reason": ""})
            return
        self._accepted = True
        state = self._scope["state"]
        state["problem"] = problem
        status, headers, body = self._render(problem, state["request_id"])
        self._note(self._scope, status)
        headers = [*headers, (b"x-request-id", state["request_id"].encode())]
        await self._pass({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await self._pass({"type": "websocket.http.response.body", "body": body})

    async def _pass(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError as error:
            self.left = True
            raise ClientLeft from error
