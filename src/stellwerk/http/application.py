"""One Litestar application for each interface, with its own error shape and its own OpenAPI document."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Litestar

from stellwerk.http.problem import RenderProblem


@dataclass(frozen=True, slots=True)
class Document:
    """Head of an interface's OpenAPI document."""

    title: str
    version: str
    description: str = ""


def build_application(
    name: str,
    handlers: Sequence[Any],
    render_problem: RenderProblem,
    openapi: Document | None = None,
) -> Litestar:
    """Assemble the application of one interface.

    Every route declares `opt={"scope": Scope.TASKS_SUBMIT}`, or `{"scope": None}` to be public; a route without it
    is refused when the application is built. `opt={"failure": "Error submitting task"}` is the prefix of the route's
    500 detail, the request id follows. All errors (404, 405 and 422 included) go through `render_problem`. With
    `openapi` the application answers `/openapi.json` and `/docs`. Handlers find `request.scope["state"]["principal"]`
    and `["request_id"]`.
    """
    raise NotImplementedError
