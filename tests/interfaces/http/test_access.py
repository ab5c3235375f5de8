"""Who passes the gate of a real listener."""

import json

import aiohttp
import pytest

from stellwerk.http.access import Access
from support.listening import CLOSED, OPEN, Listening, listening, with_limits

TASK = b'{"name": "a"}'


async def test_an_open_listener_takes_its_callers_for_the_local_user(served: Listening) -> None:
    status, body, headers = await served.call("POST", "/tasks", TASK)
    assert (status, body) == (200, {"name": "a", "principal": "local"})
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-request-id"]


async def test_a_wrong_credential_is_refused_on_an_open_listener_too(served: Listening) -> None:
    assert (await served.call("POST", "/tasks", TASK, authorization="Bearer guess"))[0] == 401
    assert (await served.call("POST", "/tasks", TASK, authorization="Basic dTpw"))[0] == 401
    assert (await served.call("POST", "/tasks", TASK, x_api_key=""))[0] == 401
    assert served.seen.tasks == []


@pytest.mark.parametrize("name", ["authorization", "x_api_key"])
async def test_a_key_is_taken_from_either_header(closed: Listening, name: str) -> None:
    token = "bearer submitter" if name == "authorization" else "submitter"
    status, body, _ = await closed.call("POST", "/tasks", TASK, **{name: token})
    assert (status, body["principal"]) == (200, "key:1")


async def test_a_closed_listener_asks_for_credentials(closed: Listening) -> None:
    status, body, headers = await closed.call("POST", "/tasks", TASK)
    assert (status, body["code"]) == (401, "unauthenticated")
    assert headers["www-authenticate"].startswith("Bearer")
    assert closed.seen.tasks == []


@pytest.mark.parametrize("path", ["/tasks/x", "/tasks/", "/tasks/nothing/here", "/v1/tasks/x", "/health/"])
async def test_a_closed_listener_tells_strangers_nothing_about_its_routes(
    closed: Listening, path: str
) -> None:
    assert (await closed.call("GET", path))[0] == 401


async def test_public_routes_need_no_credentials(closed: Listening) -> None:
    assert (await closed.call("GET", "/health"))[:2] == (200, {"status": "healthy"})
    assert (await closed.call("GET", "/openapi.json"))[0] == 200


async def test_a_missing_scope_is_refused_and_changes_nothing(closed: Listening) -> None:
    status, body, _ = await closed.call("POST", "/tasks", TASK, authorization="Bearer reader")
    assert (status, body) == (403, {"detail": "This needs the scope tasks:submit", "code": "missing_scope"})
    assert closed.seen.tasks == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost@evil", "", "[::1"]
)
async def test_an_open_listener_refuses_names_that_are_not_its_own(served: Listening, host: str) -> None:
    answer = await served.raw(f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"foreign_host" in answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8080"])
async def test_an_open_listener_answers_to_the_names_of_this_machine(served: Listening, host: str) -> None:
    answer = await served.raw(f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_request_without_host_is_refused(served: Listening) -> None:
    assert b"foreign_host" in await served.raw(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("name", ["Host: localhost", "Authorization: Bearer x", "Content-Type: text/plain"])
async def test_a_header_that_stands_twice_is_refused(served: Listening, name: str) -> None:
    answer = await served.raw(
        f"GET /health HTTP/1.1\r\nHost: localhost\r\n{name}\r\n{name}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000"])
async def test_a_foreign_page_is_refused(served: Listening, origin: str) -> None:
    status, body, headers = await served.call("POST", "/tasks", TASK, origin=origin)
    assert (status, body["code"]) == (403, "foreign_origin")
    assert "access-control-allow-origin" not in headers
    assert served.seen.tasks == []


async def test_a_cross_site_request_is_refused_without_an_origin_too(served: Listening) -> None:
    assert (await served.call("GET", "/health", sec_fetch_site="cross-site"))[0] == 403


async def test_the_own_page_passes(served: Listening) -> None:
    origin = served.url
    assert (await served.call("POST", "/tasks", TASK, origin=origin, sec_fetch_site="same-origin"))[0] == 200


async def test_cors_is_answered_for_configured_origins_only() -> None:
    access = Access("main", open=False, origins=frozenset({"https://ops.example"}))
    async with listening(access) as served:
        asks = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}
        status, _, headers = await served.call("OPTIONS", "/tasks", origin="https://ops.example", **asks)
        assert (status, headers["access-control-allow-origin"]) == (204, "https://ops.example")
        assert headers["access-control-allow-headers"] == "authorization"
        status, _, headers = await served.call(
            "POST", "/tasks", TASK, origin="https://ops.example", authorization="Bearer submitter"
        )
        assert (status, headers["access-control-allow-origin"]) == (200, "https://ops.example")
        assert (await served.call("OPTIONS", "/tasks", origin="https://evil.example", **asks))[0] == 403


async def test_too_many_wrong_credentials_are_slowed_down_and_right_ones_are_not() -> None:
    async with listening(CLOSED, with_limits(failed_logins_per_min=3)) as served:
        statuses = [(await served.call("POST", "/tasks", TASK, x_api_key="guess"))[0] for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert (await served.call("POST", "/tasks", TASK, x_api_key="submitter"))[0] == 200


async def test_a_principal_beyond_its_rate_is_told_when_to_come_back() -> None:
    async with listening(CLOSED, with_limits(requests_per_s=0.1, request_burst=2)) as served:
        answers = [await served.call("POST", "/tasks", TASK, x_api_key="submitter") for _ in range(3)]
        assert [answer[0] for answer in answers] == [200, 200, 429]
        assert 1 <= int(answers[2][2]["retry-after"]) <= 10
        assert (await served.call("GET", "/tasks/x", x_api_key="reader"))[0] == 200


async def test_refusals_become_audit_events(closed: Listening) -> None:
    await closed.call("DELETE", "/tasks/x", authorization="Bearer reader", x_request_id="r-1")
    await closed.journal.came.wait()
    [event] = closed.journal.events
    told = json.loads(event.data)
    assert (event.kind, event.principal) == ("access.refused", "key:2")
    assert (told["status"], told["code"], told["path"]) == (403, "missing_scope", "/tasks/x")
    assert told["request_id"] == "r-1"


async def test_touching_what_another_owns_is_an_audit_event_too(served: Listening) -> None:
    assert (await served.call("GET", "/tasks/foreign"))[0] == 409
    await served.journal.came.wait()
    assert json.loads(served.journal.events[0].data)["code"] == "owned_by_another"


async def test_a_sane_request_id_is_kept_and_another_replaced(served: Listening) -> None:
    assert (await served.call("GET", "/health", x_request_id="abc-1"))[2]["x-request-id"] == "abc-1"
    replaced = (await served.call("GET", "/health", x_request_id="a b<script>"))[2]["x-request-id"]
    assert replaced not in ("", "a b<script>")


async def test_a_websocket_passes_the_same_checks(served: Listening) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await served.session.ws_connect(served.url + "/tasks/ws", origin="http://evil.example")
    assert refused.value.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await served.session.ws_connect(served.url + "/tasks/ws", headers={"x-api-key": "guess"})
    assert refused.value.status == 401


async def test_a_websocket_is_refused_by_its_application_over_http(closed: Listening) -> None:
    for headers, path, status in (
        ({}, "/tasks/ws", 401),
        ({"x-api-key": "submitter"}, "/tasks/ws", 403),
        ({"x-api-key": "reader"}, "/tasks/ws?as=nobody", 404),
        ({"x-api-key": "reader"}, "/tasks/no/socket/here", 404),
        ({"x-api-key": "reader"}, "/tasks/special/ws", 404),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await closed.session.ws_connect(closed.url + path, headers=headers)
        assert refused.value.status == status
    async with closed.session.ws_connect(closed.url + "/tasks/ws", headers={"x-api-key": "reader"}) as socket:
        assert await socket.receive_str() == "welcome"


async def test_the_refusal_of_a_websocket_has_the_interface_s_shape(closed: Listening) -> None:
    answer = await closed.raw(
        b"GET /tasks/ws?as=nobody HTTP/1.1\r\nHost: localhost\r\nX-API-Key: reader\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert json.loads(body) == {"detail": "Agent not found", "code": "not_found"}


def test_the_open_rules_are_those_of_loopback() -> None:
    assert OPEN.hosts == {"localhost", "127.0.0.1", "::1"}
