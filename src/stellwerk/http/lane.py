"""The lane: operations that are asked for often are answered past the application's routing.

Measured for a submission (one process, no network): 6 µs from ASGI to the encoded answer here, about 95 µs
through Litestar's routing, signature model and response classes. That is more than the durable transaction
behind it costs, so it pays for what agents and submitters send all day. Everything else, and every refusal
of a path or method, stays with the application.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from stellwerk.http.endpoint import Endpoint
from stellwerk.http.streaming import Receive, Send

NOTHING: Mapping[str, str] = {}


class Lane:
    """An ASGI application in front of another: takes the requests of its endpoints, hands on the rest.

    `sockets` serves the WebSockets, the application if None.
    """

    def __init__(self, endpoints: Iterable[Endpoint], application: Any, sockets: Any = None) -> None:
        self._application = application
        self._sockets = application if sockets is None else sockets
        self._plain: dict[tuple[str, str], Endpoint] = {}
        self._patterns: dict[tuple[str, str, str], tuple[str, Endpoint]] = {}
        for endpoint in endpoints:
            self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        operation = endpoint.operation
        if not operation.parameters:
            self._plain[operation.method, operation.path] = endpoint
            return
        _, subject, parameter, verb = operation.path.split("/")
        self._patterns[operation.method, subject, verb] = (parameter[1:-1], endpoint)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            endpoint = self._plain.get((method, path))
            if endpoint is not None:
                return await endpoint(scope, receive, send, NOTHING)
            parts = path.split("/")
            if len(parts) == 4 and parts[2]:
                found = self._patterns.get((method, parts[1], parts[3]))
                if found is not None:
                    return await found[1](scope, receive, send, {found[0]: parts[2]})
        elif scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
            return None
        await self._application(scope, receive, send)
        return None


def routes(endpoints: Sequence[Endpoint]) -> list[HTTPRouteHandler]:
    """Make the application's route handlers of endpoints."""
    return [_route(endpoint) for endpoint in endpoints]


def _route(endpoint: Endpoint) -> HTTPRouteHandler:
    operation = endpoint.operation

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        path = request.path_params

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await endpoint(scope, receive, send, path)

        return answer

    return HTTPRouteHandler(
        operation.path.replace("}", ":str}"),
        http_method=operation.method,  # type: ignore[arg-type]  # the table holds plain words
        status_code=operation.status,
        opt={"scope": operation.scope, "failure": operation.failure, "unavailable": operation.unavailable},
        name=f"{operation.method} {operation.path}",
    )(handle)
