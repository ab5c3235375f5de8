"""The router of an interface: from method and path to the endpoint, straight from ASGI.

Measured for a submission (one process, no network, without the transaction behind it): 25 µs from ASGI to
the encoded answer here, about 95 µs through Litestar's routing, signature model and response classes, which
is more than the durable transaction costs. So operations are routed here.

A path is found in a dictionary: as it is, or with its parameters blanked out. There are few ways to blank
out a path of a given length, so the number of routes does not matter.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from stellwerk.http.endpoint import Endpoint
from stellwerk.http.problem import Problem, RenderProblem
from stellwerk.http.streaming import Receive, Send

Methods = dict[str, Endpoint]
Parts = tuple[str | None, ...]
"""Segments of a path; None stands for a parameter."""

NO_PARAMETERS: Mapping[str, str] = {}
ZERO_BYTE = Problem(400, "malformed", "The path contains a zero byte")
"""No name has one, and PostgreSQL fails to even look for it."""


class Router:
    """The ASGI application of an interface; `sockets` serves its WebSockets, None refuses them."""

    def __init__(self, endpoints: Iterable[Endpoint], render: RenderProblem, sockets: Any = None) -> None:
        self._render = render
        self._sockets = sockets
        self._plain: dict[str, Methods] = {}
        self._patterns: dict[Parts, Methods] = {}
        self._blanks: dict[int, list[tuple[int, ...]]] = {}
        for endpoint in endpoints:
            self._add(endpoint)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if self._sockets is None:
                raise Problem.not_found()  # The gate answers the handshake.
            await self._sockets(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        if "\0" in path:
            await self._refuse(scope, send, ZERO_BYTE)
            return
        plain = self._plain.get(path)
        if plain is not None:
            endpoint = plain.get(method)
            if endpoint is not None:
                await endpoint(scope, receive, send, NO_PARAMETERS)
            else:
                await self._other(scope, send, plain)
            return
        parts = path.split("/")
        matching = self._matching(parts)
        for endpoints in matching:
            endpoint = endpoints.get(method)
            if endpoint is not None:
                values = [parts[place] for place in endpoint.places]
                await endpoint(scope, receive, send, dict(zip(endpoint.names, values, strict=True)))
                return
        if matching:
            await self._other(scope, send, [name for endpoints in matching for name in endpoints])
        else:
            await self._refuse(scope, send, Problem(404, "not_found", "Not Found"))

    def _add(self, endpoint: Endpoint) -> None:
        operation, blanks = endpoint.operation, endpoint.places
        if not blanks:
            self._plain.setdefault(operation.path, {})[operation.method] = endpoint
            return
        parts = operation.path.split("/")
        key = tuple(None if place in blanks else part for place, part in enumerate(parts))
        self._patterns.setdefault(key, {})[operation.method] = endpoint
        known = self._blanks.setdefault(len(parts), [])
        if blanks not in known:
            known.append(blanks)

    def _matching(self, parts: list[str]) -> list[Methods]:
        found = []
        for blanks in self._blanks.get(len(parts), ()):
            key: list[str | None] = [*parts]
            for place in blanks:
                key[place] = None
            endpoints = self._patterns.get(tuple(key))
            if endpoints is not None and all(parts[place] for place in blanks):
                found.append(endpoints)
        return found

    async def _other(self, scope: Any, send: Send, methods: Iterable[str]) -> None:
        """Answer a method that no operation of the path has."""
        allowed = ", ".join(sorted({*methods, "OPTIONS"}))
        if scope["method"] == "OPTIONS":
            await self._answer(send, 204, [(b"allow", allowed.encode())], b"")
            return
        problem = Problem(405, "method_not_allowed", "Method Not Allowed", {"allow": allowed})
        await self._refuse(scope, send, problem)

    async def _refuse(self, scope: Any, send: Send, problem: Problem) -> None:
        scope["state"]["problem"] = problem  # The gate reads it for the journal.
        await self._answer(send, *self._render(problem, scope["state"]["request_id"]))

    async def _answer(self, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        length = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
        await send({"type": "http.response.body", "body": body})
