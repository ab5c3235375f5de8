"""Bodies, routes and errors of a real listener."""

import asyncio
import json

import pytest

from support.listening import Listening, listening, with_limits


async def test_the_handler_reads_the_checked_bytes(served: Listening) -> None:
    body = b'{"name":"\\u00e4", "data": {"z": 1,  "a": [1.50]}}'
    assert (await served.call("POST", "/tasks", body))[0] == 200
    assert served.seen.bodies == [body]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
    ],
)
async def test_what_is_json_or_curl_s_default_is_read_as_json(served: Listening, content_type: str) -> None:
    assert (await served.call("POST", "/tasks", b'{"name": "a"}', content_type=content_type))[0] == 200


async def test_a_body_without_content_type_is_read_as_json(served: Listening) -> None:
    answer = await served.raw(
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"
        b'{"name": "a"}'
    )
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json"]
)
async def test_other_content_types_are_415(served: Listening, content_type: str) -> None:
    status, body, _ = await served.call("POST", "/tasks", b'{"name": "a"}', content_type=content_type)
    assert (status, body["code"]) == (415, "unsupported_media_type")
    assert served.seen.tasks == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a", "name": "b"}',
        b'{"name": "a", "data": {"x": 1, "x": 1}}',
        b'{"name": "a", "data": NaN}',
        b'{"name": "a", "data": 1e999}',
        b'{"name": "a", "data": -Infinity}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'{"name": "a", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"name": "a"',
        b'{"name": "a"} {}',
        b"\x00",
        b"name=a",
        b'{"name": 1}',
        b'{"size": 1}',
        b'{"name": "a", "size": "large"}',
        b"[]",
        b"null",
    ],
)
async def test_bad_bodies_are_422_in_the_interface_s_shape_and_change_nothing(
    served: Listening, body: bytes
) -> None:
    status, answer, _ = await served.call("POST", "/tasks", body)
    assert status == 422
    assert isinstance(answer["detail"], str)
    assert "Traceback" not in answer["detail"]
    assert served.seen.tasks == []


async def test_a_missing_body_is_refused(served: Listening) -> None:
    assert (await served.call("POST", "/tasks"))[0] == 422


async def test_a_bad_query_is_422(served: Listening) -> None:
    status, body, _ = await served.call("GET", "/tasks/x?wait_s=soon")
    assert status == 422
    assert "wait_s" in body["detail"]


async def test_the_limit_of_a_body_is_exact() -> None:
    async with listening(limits=with_limits(body_bytes=1_000)) as served:
        fits = b'{"name": "' + b"a" * (1_000 - 12) + b'"}'
        assert (await served.call("POST", "/tasks", fits))[0] == 200
        status, body, _ = await served.call("POST", "/tasks", fits + b" ")
        assert (status, body["code"]) == (413, "too_large")
        assert len(served.seen.tasks) == 1


async def test_a_large_body_is_refused_and_the_connection_goes_on() -> None:
    async with listening(limits=with_limits(body_bytes=1_000)) as served:
        assert (await served.call("POST", "/tasks", b'"' + b"a" * 5_000_000 + b'"'))[0] == 413
        assert (await served.call("POST", "/tasks", b'{"name": "a"}'))[0] == 200


async def test_a_large_body_in_chunks_is_refused() -> None:
    async def chunks():  # type: ignore[no-untyped-def]  # an async generator for aiohttp
        for _ in range(100):
            yield b"a" * 1_000

    async with listening(limits=with_limits(body_bytes=50_000)) as served:
        headers = {"content-type": "application/json"}
        async with served.session.post(served.url + "/tasks", data=chunks(), headers=headers) as answer:
            assert answer.status == 413


async def test_a_body_in_chunks_is_read() -> None:
    async def chunks():  # type: ignore[no-untyped-def]  # an async generator for aiohttp
        for byte in b'{"name": "a"}':
            yield bytes([byte])

    async with listening() as served:
        headers = {"content-type": "application/json"}
        async with served.session.post(served.url + "/tasks", data=chunks(), headers=headers) as answer:
            assert (answer.status, (await answer.json())["name"]) == (200, "a")


async def test_a_large_good_body_is_checked_beside_the_loop_and_read(served: Listening) -> None:
    body = json.dumps({"name": "a", "data": [{"x": number} for number in range(30_000)]}).encode()
    assert (await served.call("POST", "/tasks", body))[0] == 200
    duplicate = body[:-1] + b', "name": "b"}'
    assert (await served.call("POST", "/tasks", duplicate))[0] == 422


async def test_a_client_that_leaves_in_the_middle_changes_nothing(served: Listening) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
    writer.write(b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await served.call("GET", "/health"))[0] == 200
    assert served.seen.tasks == []


async def test_a_request_that_does_not_arrive_in_time_is_cut_off() -> None:
    async with listening(limits=with_limits(arrival_s=0.1)) as served:
        head = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\n"
        assert await served.raw(head + b"Content-Length: 100\r\n\r\n{") == b""
        assert await served.raw(head) == b""
        assert await served.raw(b"") == b""
        assert (await served.call("GET", "/health"))[0] == 200


async def test_a_head_beyond_its_bounds_is_refused(served: Listening) -> None:
    start = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    assert (await served.raw(start + b"X: " + b"a" * 70_000 + b"\r\n\r\n")).startswith(b"HTTP/1.1 431")
    assert (await served.raw(start + b"X: a\r\n" * 200 + b"\r\n")).startswith(b"HTTP/1.1 431")
    assert (await served.raw(start + b"X: " + b"a" * 70_000)).startswith(b"HTTP/1.1 431")


async def test_an_id_of_ten_kilobytes_reaches_the_interface(served: Listening) -> None:
    assert (await served.call("GET", "/tasks/" + "a" * 10_000))[0] == 200


async def test_more_connections_than_allowed_are_turned_away() -> None:
    async with listening(limits=with_limits(connections=2)) as served:
        held = [await asyncio.open_connection("127.0.0.1", served.listener.port) for _ in range(2)]
        answer = await served.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        for _, writer in held:
            writer.close()


async def test_unknown_paths_and_methods_have_the_interface_s_shape(served: Listening) -> None:
    status, body, _ = await served.call("GET", "/tasks/a/b/c")
    assert (status, body) == (404, {"detail": "Not Found", "code": "not_found"})
    status, body, headers = await served.call("PUT", "/tasks")
    assert (status, body["code"]) == (405, "method_not_allowed")
    assert "POST" in headers["allow"]


async def test_a_path_of_no_interface_has_the_fallback_s_shape(served: Listening) -> None:
    status, body, _ = await served.call("GET", "/nowhere", x_request_id="r-2")
    assert (status, body) == (404, {"error": {"text": "Not found", "request": "r-2"}})


async def test_the_longest_prefix_owns_a_path(served: Listening) -> None:
    assert (await served.call("GET", "/tasks/special/a"))[1] == {"special": "a"}
    status, body, _ = await served.call("GET", "/tasks/special")
    assert (status, "error" in body) == (404, True)


async def test_an_alias_is_answered_like_the_plain_path(served: Listening) -> None:
    assert (await served.call("GET", "/v1/tasks/x"))[1] == {"task": "x", "wait_s": 0}


async def test_an_unexpected_failure_shows_its_request_id_and_nothing_else(served: Listening) -> None:
    status, body, headers = await served.call("GET", "/tasks/broken")
    assert (status, body["detail"]) == (500, f"Internal server error: {headers['x-request-id']}")


async def test_an_unavailable_database_is_503_with_a_time_to_come_back(served: Listening) -> None:
    status, body, headers = await served.call("GET", "/tasks/unavailable")
    assert (status, body["detail"], headers["retry-after"]) == (503, "disk full", "7")


async def test_options_tells_the_methods(served: Listening) -> None:
    status, _, headers = await served.call("OPTIONS", "/tasks")
    assert status == 204
    assert "POST" in headers["allow"]


async def test_the_page_of_the_documentation_loads_nothing_from_elsewhere(served: Listening) -> None:
    async with served.session.get(served.url + "/docs") as answer:
        page = await answer.text()
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert f'"/docs/{asset}"' in page
        async with served.session.get(f"{served.url}/docs/{asset}") as answer:
            assert answer.status == 200
            assert await answer.read()
    assert (await served.call("GET", "/openapi.json"))[1] == {"openapi": "3.1.0", "paths": {}}


async def test_broken_http_is_400(served: Listening) -> None:
    assert (await served.raw(b"\x00\x01garbage\r\n\r\n")).startswith(b"HTTP/1.1 400")
    both = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = await served.raw(b"POST /tasks HTTP/1.1\r\nHost: localhost\r\n" + both)
    assert answer.startswith(b"HTTP/1.1 400")
