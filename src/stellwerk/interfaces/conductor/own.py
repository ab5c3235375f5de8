"""Routes of the program that runs the server: its own answers beside ours, under the same checks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stellwerk.http.operation import JSON, Answer, Call, Handle, Operation, Raw
from stellwerk.interfaces.conductor.errors import invalid
from stellwerk.trust.scopes import Scope

TAG = "application"
encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a route of one's own, and with what."""

    principal: str
    """Id of the API key, or `local`."""
    path: Mapping[str, str]
    """Parameters of the path."""
    headers: Mapping[str, str]
    """By names in lower case."""
    body: Any = None
    """The JSON body; None if there is none."""


Handler = Callable[[Caller], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route."""

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    summary: str = ""


class RouteTaken(ValueError):
    """A route of one's own is none that can be served; the message says why."""


def own_operations(routes: Sequence[Route], ours: Sequence[Operation]) -> list[Operation]:
    """Return the routes as operations of the interface. Raises RouteTaken."""
    taken = {(one.method, _form(one.path)) for one in ours}
    for route in routes:
        place = (route.method, _form(route.path))
        if not route.path.startswith("/") or place in taken:
            why = "is answered already" if place in taken else "must begin with /"
            raise RouteTaken(f"the route {route.method} {route.path} {why}; choose another path")
        taken.add(place)
    return [_operation(route) for route in routes]


def owned_with(routes: Sequence[Route], owns: Callable[[str], int]) -> Callable[[str], int]:
    """Return what tells how much of a path is the interface's: ours, and the whole of a route's."""
    if not routes:
        return owns
    forms = {_form(route.path) for route in routes}

    def owned(path: str) -> int:
        parts = path.split("/")
        mine = any(len(form) == len(parts) and all(map(_fits, form, parts)) for form in forms)
        return len(path) if mine else owns(path)

    return owned


def _form(path: str) -> tuple[str | None, ...]:
    """Return the segments of a path; None stands for a parameter."""
    return tuple(None if part.startswith("{") else part for part in path.split("/"))


def _fits(wanted: str | None, given: str) -> bool:
    return bool(given) if wanted is None else wanted == given


def _operation(route: Route) -> Operation:
    return Operation(
        method=route.method,
        path=route.path,
        handle=_handling(route.handler),
        scope=route.scope,
        summary=route.summary or f"{route.method} {route.path}",
        tag=TAG,
        gives=dict[str, Any],
    )


def _handling(handler: Handler) -> Handle:
    """Return what calls a handler with what it may know of a request."""

    async def handle(call: Call[Any, Any]) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers}
        caller = Caller(call.principal.id, call.path, headers, _decoded(call.raw))
        return Raw(encode(await handler(caller)), JSON)

    handle.__name__ = getattr(handler, "__name__", "route")  # names it in the description
    return handle


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError as error:
        raise invalid(f"The body is no JSON: {error}", code="invalid_request") from None
