"""One Litestar application for each interface, with its own error shape and its own OpenAPI document."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import structlog
from litestar import Litestar, MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException, WebSocketDisconnect
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Send
from litestar.types import Scope as AsgiScope

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.http.body import ClientLeft
from stellwerk.http.documentation import JsonObject, documentation
from stellwerk.http.problem import Problem, RenderProblem
from stellwerk.trust.principal import ANONYMOUS, Principal
from stellwerk.trust.scopes import Scope

log = structlog.get_logger()

SHOWN_ERRORS = 5
CODES = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}


def build_application(
    name: str,
    handlers: Sequence[Any],
    render_problem: RenderProblem,
    openapi: Callable[[], JsonObject] | None = None,
) -> Litestar:
    """Assemble the application of one interface; raise ValueError if a route does not declare its scope.

    Every route has `opt={"scope": Scope.TASKS_SUBMIT}`, or `{"scope": None}` to be public. Two more keys are
    known: `"failure"` is the prefix of the route's 500 detail (the request id follows) and `"unavailable"`
    the detail of its 503. All errors, 404, 405 and 422 included, go through `render_problem`. With
    `openapi`, which makes the document at first use, the application answers `/openapi.json` and `/docs`.
    Handlers find `request.scope["state"]["principal"]` and `["request_id"]`; they may raise Problem. The
    body's size and strictness are the gate's affair.
    """
    documents = [] if openapi is None else documentation(name, openapi)
    application = Litestar(
        route_handlers=[*handlers, *documents],
        openapi_config=None,
        exception_handlers={Exception: _answer_with(render_problem)},
        after_exception=[_remember_problem],
        middleware=[_Authorised],
        request_max_body_size=None,
        logging_config=None,
        debug=False,
    )
    undeclared = [path for path, handler in routes_of(application) if "scope" not in handler.opt]
    if undeclared:
        raise ValueError(f"Routes of {name} without a scope: {', '.join(sorted(undeclared))}")
    return application


def public_paths(application: Litestar) -> frozenset[str]:
    """List the paths without parameters that need no credentials."""
    return frozenset(
        path
        for path, handler in routes_of(application)
        if "{" not in path and handler.opt.get("scope", Scope.ADMIN) is None
    )


def routes_of(application: Litestar) -> Iterator[tuple[str, BaseRouteHandler]]:
    """List paths with their handlers; the automatic answers to OPTIONS are left out."""
    for route in application.routes:
        handlers = getattr(route, "route_handlers", None) or [cast(Any, route).route_handler]
        for handler in handlers:
            if not _is_automatic(handler):
                yield route.path, handler


def _is_automatic(handler: BaseRouteHandler) -> bool:
    return getattr(handler, "http_methods", None) == {"OPTIONS"} and "scope" not in handler.opt


class _Authorised:
    """Middleware that refuses callers without the route's scope. A guard would do, but copies its handler
    each time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> Awaitable[None]:
        handler = cast(BaseRouteHandler, scope["route_handler"])
        required = handler.opt.get("scope", Scope.ADMIN)
        if required is not None and not _is_automatic(handler):
            check_scope(required, scope["state"].get("principal", ANONYMOUS))
        return self._app(scope, receive, send)


def check_scope(required: Scope, principal: Principal) -> None:
    """Raise a Problem unless the principal has the scope."""
    if principal is ANONYMOUS:
        raise Problem.unauthenticated("Send an API key: Authorization: Bearer …, or X-API-Key")
    if not principal.may(required):
        raise Problem.forbidden(f"This needs the scope {required.value}", "missing_scope")


def problem_of(error: Exception, opt: dict[str, Any], request_id: str) -> Problem:
    """Turn whatever left a handler into a Problem; log what nobody expected."""
    match error:
        case Problem():
            return error
        case DatabaseUnavailable():
            return Problem.unavailable(opt.get("unavailable") or error.detail, error.retry_after_s)
        case ValidationException():
            return Problem.invalid(_first_errors(error))
        case HTTPException(status_code=400):
            return Problem.invalid(error.detail)
        case HTTPException() if error.status_code < 500:
            return Problem(error.status_code, _code(error), error.detail, dict(error.headers or {}))
        case _:
            log.error("request failed", request_id=request_id, exc_info=error)
            return Problem.internal(request_id, opt.get("failure", "Internal server error"))


def _answer_with(render: RenderProblem) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        state = request.scope["state"]
        problem = state["problem"]
        status, headers, body = render(problem, state["request_id"])
        pairs = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        media_type = pairs.pop("content-type", MediaType.JSON)
        return Response(body, status_code=status, headers=pairs, media_type=media_type)

    return answer


async def _remember_problem(error: Exception, scope: AsgiScope) -> None:
    # Before the error is answered, for WebSockets too: the gate reads it for the journal, and to refuse a
    # WebSocket.
    if isinstance(error, WebSocketDisconnect | ClientLeft):
        return  # The other side left: an end, not a failure.
    state, handler = scope["state"], cast(Any, scope).get("route_handler")
    opt = {} if handler is None else handler.opt
    state["problem"] = problem_of(error, opt, state["request_id"])


def _first_errors(error: ValidationException) -> str:
    """Put the reasons into one sentence: which value, and what is wrong with it."""
    extra: Any = error.extra
    reasons = [
        f"{one['key']}: {one.get('message')}" if one.get("key") else str(one.get("message"))
        for one in (extra if isinstance(extra, list) else [])[:SHOWN_ERRORS]
    ]
    return "; ".join(reasons) or error.detail


def _code(error: HTTPException) -> str:
    return CODES.get(error.status_code, "refused")
