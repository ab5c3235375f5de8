"""The router of an interface: from method and path to the endpoint, straight from ASGI.

Measured for a submission (one process, no network, without the transaction behind it): 14 µs from ASGI to
the encoded answer here, about 95 µs through Litestar's routing, signature model and response classes, which
is more than the durable transaction costs; and 50 Litestar routes take half a second of every start. So
operations are routed here, and what is none (the pages of the documentation) is handed on to the
interface's application.

A path is found in a dictionary: as it is, or with its parameters blanked out. There are few ways to blank
out a path of a given length, so the number of routes does not matter.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from stellwerk.http.endpoint import Endpoint
from stellwerk.http.problem import Problem, RenderProblem
from stellwerk.http.streaming import Receive, Send

Methods = dict[str, tuple[Endpoint, tuple[str, ...]]]
"""By method: the endpoint and the names of its path's parameters."""
Parts = tuple[str | None, ...]
"""Segments of a path; None stands for a parameter."""

NO_PARAMETERS: Mapping[str, str] = {}


class Router:
    """The ASGI application of an interface. `sockets` serves its WebSockets, `application` what is no
    operation.
    """

    def __init__(
        self, endpoints: Iterable[Endpoint], render: RenderProblem, application: Any, sockets: Any = None
    ) -> None:
        self._render = render
        self._application = application
        self._sockets = application if sockets is None else sockets
        self._plain: dict[str, dict[str, Endpoint]] = {}
        self._patterns: dict[Parts, Methods] = {}
        self._blanks: dict[int, list[tuple[int, ...]]] = {}
        for endpoint in endpoints:
            self._add(endpoint)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._sockets(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        endpoint = self._plain.get(path, _NONE).get(method)
        if endpoint is not None:
            await endpoint(scope, receive, send, NO_PARAMETERS)
            return
        parts = path.split("/")
        found = self._match(parts, method)
        if found is not None:
            endpoint, names = found
            values = [parts[place] for place in endpoint.places]
            await endpoint(scope, receive, send, dict(zip(names, values, strict=True)))
            return
        allowed = self._allowed(path, parts)
        if not allowed:
            await self._application(scope, receive, send)
        elif method == "OPTIONS":
            await self._answer(send, 204, [(b"allow", allowed)], b"")
        else:
            problem = Problem(405, "method_not_allowed", "Method Not Allowed", {"allow": allowed.decode()})
            scope["state"]["problem"] = problem
            await self._answer(send, *self._render(problem, scope["state"]["request_id"]))

    def _add(self, endpoint: Endpoint) -> None:
        operation = endpoint.operation
        if not operation.parameters:
            self._plain.setdefault(operation.path, {})[operation.method] = endpoint
            return
        parts = operation.path.split("/")
        blanks = endpoint.places
        key = tuple(None if place in blanks else part for place, part in enumerate(parts))
        self._patterns.setdefault(key, {})[operation.method] = (endpoint, operation.parameters)
        known = self._blanks.setdefault(len(parts), [])
        if blanks not in known:
            known.append(blanks)

    def _match(self, parts: list[str], method: str) -> tuple[Endpoint, tuple[str, ...]] | None:
        for methods in self._methods(parts):
            if method in methods:
                return methods[method]
        return None

    def _methods(self, parts: list[str]) -> Iterable[Methods]:
        for blanks in self._blanks.get(len(parts), ()):
            key: list[str | None] = [*parts]
            for place in blanks:
                key[place] = None
            methods = self._patterns.get(tuple(key))
            if methods is not None and all(parts[place] for place in blanks):
                yield methods

    def _allowed(self, path: str, parts: list[str]) -> bytes:
        methods = set(self._plain.get(path, _NONE))
        for found in self._methods(parts):
            methods |= found.keys()
        return ", ".join(sorted({*methods, "OPTIONS"})).encode() if methods else b""

    async def _answer(self, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        length = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
        await send({"type": "http.response.body", "body": body})


_NONE: dict[str, Endpoint] = {}
