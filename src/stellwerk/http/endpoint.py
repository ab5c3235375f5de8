"""An endpoint: an operation that can be called.

It authorises, decodes, awaits the use case, and turns refusals into answers.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
import structlog

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.http.auth import check_scope
from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw, Streaming
from stellwerk.http.problem import Problem, RenderProblem
from stellwerk.http.streaming import CallerGone, Receive, Send, stream

Refuse = Callable[[Exception], Problem | None]
"""An interface's error table: the problem that a subject's refusal is, None for what nobody expected."""

QUERY_FIELDS = 50
"""Parameters of a query string; no operation has a quarter of it."""

encode = msgspec.json.Encoder().encode
log = structlog.get_logger(__name__)

Headers = list[tuple[bytes, bytes]]

_JSON: Headers = [(b"content-type", JSON.encode())]


class Observer(Protocol):
    """Is told of every answer."""

    def observe(self, operation: Operation, status: int, seconds: float) -> None: ...


class Endpoint:
    """Answers the requests of one operation."""

    __slots__ = ("_decode", "_observer", "_refuse", "_render", "names", "operation", "places")

    def __init__(
        self, operation: Operation, render: RenderProblem, refuse: Refuse, observer: Observer | None = None
    ) -> None:
        self.operation = operation
        parts = enumerate(operation.path.split("/"))
        self.places = tuple(place for place, part in parts if part.startswith("{"))
        """Where in the path its parameters are."""
        self.names = operation.parameters
        self._render = render
        self._refuse = refuse
        self._observer = observer
        takes: Any = operation.takes
        self._decode: Callable[[bytes], Any] | None = (
            None if takes is None else msgspec.json.Decoder(takes).decode
        )

    async def __call__(
        self, scope: Mapping[str, Any], receive: Receive, send: Send, path: Mapping[str, str]
    ) -> None:
        """Answer one request; `path` holds the parameters of the path."""
        started = time.perf_counter()
        try:
            answer = await self._answer(scope, receive, path)
        except CallerGone:
            return
        except Exception as error:
            state = scope["state"]
            # The gate reads it for the journal.
            problem = state["problem"] = self._problem(error, state["request_id"])
            status, headers, body = self._render(problem, state["request_id"])
            await _respond(send, status, headers, body)
        else:
            status = await self._send(answer, send, receive)
        if self._observer is not None:
            self._observer.observe(self.operation, status, time.perf_counter() - started)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive, path: Mapping[str, str]) -> Answer:
        operation, state = self.operation, scope["state"]
        principal = state["principal"]
        if operation.check is not None:
            operation.check(principal, path)
        elif operation.scope is not None and operation.scope not in principal.granted:
            check_scope(operation.scope, principal)
        raw = await _read(receive)
        body = self._body(raw)
        query = None if operation.query is None else _query(scope["query_string"], operation.query)
        call = Call(principal, state["request_id"], path, scope["headers"], raw, body, query, receive)
        return await operation.handle(call)

    def _body(self, raw: bytes) -> Any:
        decode = self._decode
        if decode is None or not (raw or self.operation.body_required):
            return None
        try:
            return decode(raw)
        except msgspec.ValidationError as error:
            whole = with_whole_numbers(raw)
            if whole is None:
                raise Problem.invalid(str(error)) from None
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Problem.invalid(str(error) if raw else "A JSON body is required") from None
        try:
            return decode(whole)
        except msgspec.ValidationError as error:
            raise Problem.invalid(str(error)) from None

    async def _send(self, answer: Answer, send: Send, receive: Receive) -> int:
        if isinstance(answer, Streaming):
            await stream(answer, receive, send)
            return 200
        if isinstance(answer, Raw):
            headers = [(b"content-type", answer.media_type.encode()), *answer.headers]
            await _respond(send, answer.status, headers, answer.body)
            return answer.status
        body = answer if isinstance(answer, bytes) else encode(answer)
        await _respond(send, self.operation.status, _JSON, body)
        return self.operation.status

    def _problem(self, error: Exception, request_id: str) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, DatabaseUnavailable):
            return Problem.unavailable(self.operation.unavailable or error.detail, error.retry_after_s)
        known = self._refuse(error)
        if known is None:
            route = f"{self.operation.method} {self.operation.path}"
            log.error("request_failed", request_id=request_id, route=route, exc_info=error)
            return Problem.internal(request_id, self.operation.failure)
        return known


def with_whole_numbers(raw: bytes) -> bytes | None:
    """Write the numbers of an object that are whole as integers (`3.0` as `3`); None if there are none.

    To JSON Schema `3.0` is an integer, and some languages write it so; the decoder takes it for a float.
    """
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.MsgspecError:
        return None
    whole = {name: _whole(bytes(value)) for name, value in fields.items()}
    found = {name: msgspec.Raw(number) for name, number in whole.items() if number is not None}
    return encode({**fields, **found}) if found else None


def _whole(text: bytes) -> bytes | None:
    if text[:1] not in _NUMBER or text.lstrip(b"-").isdigit():
        return None
    number = float(text)
    return b"%d" % int(number) if number.is_integer() else None


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NUMBER = frozenset(b"%d" % digit for digit in range(10)) | {b"-"}


def _query(text: bytes, into: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS)
    except ValueError:
        raise Problem.invalid(f"The query has more than {QUERY_FIELDS} parameters") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Problem.invalid("A parameter of the query is given twice")
    try:
        query = msgspec.convert(given, into, strict=False)
    except msgspec.ValidationError as error:
        raise Problem.invalid(f"Query: {error}") from None
    for name in given:
        # The lenient conversion takes the text `null` for nothing.
        if getattr(query, name, "") is None:
            raise Problem.invalid(f"Query: null is no value of `{name}`")
    return query


async def _read(receive: Receive) -> bytes:
    message = await receive()
    raw: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return raw
    parts = [raw]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def _respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    length = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
    await send({"type": "http.response.body", "body": body})
