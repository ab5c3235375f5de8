"""Routing from method and path to operations."""

from typing import Any

import msgspec

from stellwerk.http.endpoint import Endpoint, with_whole_numbers
from stellwerk.http.meter import Meter
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.problem import Problem, Rendered
from stellwerk.http.router import Router
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope


class Body(msgspec.Struct):
    n: int


class Query(msgspec.Struct):
    limit: int = 10
    state: str | None = None


async def echo(call: Call[Any, Any]) -> Answer:
    return msgspec.json.encode([dict(call.path), call.body, call.query])


async def broken(call: Call[Any, Any]) -> Answer:
    raise RuntimeError("a secret")


def operation(method: str, path: str, **more: Any) -> Operation:
    fields = {"handle": echo, "scope": Scope.TASKS_READ, "summary": "x", "tag": "x", "gives": Body}
    return Operation(method=method, path=path, **{**fields, **more})


def render(problem: Problem, request_id: str) -> Rendered:
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    return problem.status, headers, problem.detail.encode()


METER = Meter()
OPERATIONS = (
    operation("POST", "/tasks/submit", takes=Body),
    operation("GET", "/tasks/{task_id}", query=Query),
    operation("DELETE", "/tasks/{task_id}"),
    operation("GET", "/tasks/{task_id}/logs"),
    operation("PUT", "/tasks/{task_id}/status"),
    operation("GET", "/tasks/kind/{kind}"),
    operation("GET", "/public", scope=None),
    operation("GET", "/broken", handle=broken, failure="Error breaking"),
)
ROUTER = Router([Endpoint(one, render, lambda _: None, METER) for one in OPERATIONS], render)


async def ask(
    method: str, path: str, body: bytes = b"", query: bytes = b"", principal: Principal = LOCAL
) -> tuple[int, bytes, dict[bytes, bytes]]:
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [],
        "state": {"principal": principal, "request_id": "r1"},
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await ROUTER(scope, receive, send)
    return sent[0]["status"], sent[1]["body"], dict(sent[0]["headers"])


async def test_paths_are_found_as_they_are_and_with_parameters():
    assert (await ask("POST", "/tasks/submit", b'{"n":1}'))[1] == b'[{},{"n":1},null]'
    assert (await ask("GET", "/tasks/t1"))[1] == b'[{"task_id":"t1"},null,{"limit":10,"state":null}]'
    assert (await ask("GET", "/tasks/t1/logs"))[1] == b'[{"task_id":"t1"},null,null]'
    assert (await ask("GET", "/tasks/kind/k"))[1] == b'[{"kind":"k"},null,null]'


async def test_of_two_patterns_the_one_with_the_method_answers():
    assert (await ask("PUT", "/tasks/kind/status"))[1] == b'[{"task_id":"kind"},null,null]'
    assert (await ask("GET", "/tasks/kind/status"))[1] == b'[{"kind":"status"},null,null]'
    status, _, headers = await ask("POST", "/tasks/kind/status")
    assert (status, headers[b"allow"]) == (405, b"GET, OPTIONS, PUT")


async def test_plain_path_is_not_taken_for_a_parameter():
    status, _, headers = await ask("DELETE", "/tasks/submit")
    assert (status, headers[b"allow"]) == (405, b"OPTIONS, POST")
    assert (await ask("OPTIONS", "/tasks/t1"))[2][b"allow"] == b"DELETE, GET, OPTIONS"


async def test_unknown_paths_are_not_found():
    for path in ("/", "/tasks", "/tasks/", "/tasks//logs", "/tasks/t1/logs/", "/tasks/t1/x"):
        assert (await ask("GET", path))[:2] == (404, b"Not Found"), path


async def test_query_is_read_strictly():
    assert (await ask("GET", "/tasks/t1", query=b"limit=5&other=1"))[0] == 200
    for query in (
        b"limit=x",
        b"limit=",
        b"limit=1.5",
        b"limit=1&limit=2",
        b"&".join([b"a%d=1" % n for n in range(60)]),
    ):
        assert (await ask("GET", "/tasks/t1", query=query))[0] == 422, query


async def test_scopes_are_checked_before_anything_else():
    nobody = Principal("key:x", "x", frozenset())
    assert (await ask("POST", "/tasks/submit", b"{", principal=nobody))[0] == 403
    assert (await ask("GET", "/public", principal=nobody))[0] == 200


async def test_unexpected_failure_shows_its_prefix_and_the_request_id_only():
    assert (await ask("GET", "/broken"))[:2] == (500, b"Error breaking: r1")


async def test_whole_numbers_are_integers_however_they_are_written():
    assert (await ask("POST", "/tasks/submit", b'{"n":1.0}'))[1] == b'[{},{"n":1},null]'
    assert (await ask("POST", "/tasks/submit", b'{"n":1.5}'))[0] == 422
    assert (await ask("POST", "/tasks/submit", b'{"n":"1.0"}'))[0] == 422
    assert with_whole_numbers(b'{"a":-3.0,"b":2e2,"c":"1.0","d":{"e":1.0},"f":7}') == (
        b'{"a":-3,"b":200,"c":"1.0","d":{"e":1.0},"f":7}'
    )
    assert with_whole_numbers(b'{"a":"x"}') is None
    assert with_whole_numbers(b"[1.0]") is None


async def test_answers_are_counted_by_operation():
    meter = Meter()
    for status, seconds in ((200, 0.0005), (200, 0.02), (404, 100.0)):
        meter.observe(OPERATIONS[0], status, seconds)
    (series,) = meter
    assert series.statuses == {200: 2, 404: 1}
    assert (series.answers[404].seconds, sum(series.answers[200].buckets)) == (100.0, 2)
    assert (sum(series.buckets), series.buckets[0], series.buckets[-1]) == (3, 1, 1)
