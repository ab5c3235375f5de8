"""The outbound policy against real servers on loopback."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ThreadedResolver, web

from stellwerk.http.outbound import Outbound
from stellwerk.http.outbound_policy import AnswerLost, DialFailed, OutboundAnswer, OutboundRefused
from stellwerk.settings import OutboundSettings

LOOPBACK = replace(OutboundSettings(), allowed_networks=("127.0.0.1/32",), response_bytes=1_000)


@asynccontextmanager
async def server(handle: Callable[[web.Request], Any]) -> AsyncIterator[int]:
    """Serve on a free loopback port."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@asynccontextmanager
async def calling(settings: OutboundSettings = LOOPBACK) -> AsyncIterator[Outbound]:
    outbound = Outbound(settings)
    await outbound.start()
    yield outbound
    await outbound.stop()


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), content_type="application/json")


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: list[str]) -> list[str]:
    """Let names resolve to one list of addresses after the other; returns the names asked for."""
    asked: list[str] = []

    async def resolve(self: Any, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        found = addresses[min(len(asked), len(addresses) - 1)]
        asked.append(host)
        return [
            {"hostname": host, "host": one, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for one in found
        ]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    return asked


async def test_an_allowed_server_is_called() -> None:
    async with server(echo) as port, calling() as outbound:
        answer = await outbound.call("POST", f"http://127.0.0.1:{port}/x", b"{}")
    assert answer == OutboundAnswer(200, "application/json", b"{}")


async def test_an_allowed_name_is_called() -> None:
    async with server(echo) as port, calling() as outbound:
        assert (await outbound.call("GET", f"http://localhost:{port}/")).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "127.0.0.2",
        "2130706433",
        "0x7f.2",
        "8.8.8.8",
    ],
)
async def test_addresses_that_are_not_allowed_are_not_dialled(host: str) -> None:
    settings = replace(LOOPBACK, connect_timeout_s=0.2)
    async with calling(settings) as outbound:
        if host == "2130706433":  # the decimal form of 127.0.0.1 is that address and nothing else
            with pytest.raises((DialFailed, OutboundRefused)):
                await outbound.call("GET", f"http://{host}:9/")
            return
        with pytest.raises(OutboundRefused):
            await outbound.call("GET", f"http://{host}/latest/meta-data")


async def test_a_name_of_a_metadata_service_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["169.254.169.254"])
    async with calling() as outbound:
        with pytest.raises(OutboundRefused):
            await outbound.call("GET", "http://metadata.example/")


async def test_a_name_that_is_rebound_is_refused_when_it_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve_to(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    async with server(echo) as port, calling() as outbound:
        assert (await outbound.call("GET", f"http://rebound.example:{port}/")).status == 200
        await outbound.stop()
        await outbound.start()
        with pytest.raises(OutboundRefused):
            await outbound.call("GET", f"http://rebound.example:{port}/")
    assert len(asked) == 2


async def test_the_allowed_one_of_several_addresses_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["10.0.0.1", "127.0.0.1"])
    async with server(echo) as port, calling() as outbound:
        assert (await outbound.call("GET", f"http://two.example:{port}/")).status == 200


async def test_redirects_are_answers_and_not_followed() -> None:
    async def redirect(request: web.Request) -> web.Response:
        if request.path == "/target":
            raise AssertionError("followed")
        return web.Response(status=302, headers={"location": "/target"})

    async with server(redirect) as port, calling() as outbound:
        assert (await outbound.call("GET", f"http://127.0.0.1:{port}/")).status == 302


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_oversize_answer_is_not_read(chunked: bool) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if not chunked:
            response.content_length = 100_000
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"a" * 1_000)
        return response

    async with server(large) as port, calling() as outbound:
        with pytest.raises(AnswerLost, match="larger than 1000"):
            await outbound.call("GET", f"http://127.0.0.1:{port}/")


async def test_a_packed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(b"0" * 500_000)

    async def bomb(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"content-encoding": "gzip"})

    async with server(bomb) as port, calling() as outbound:
        assert (await outbound.call("GET", f"http://127.0.0.1:{port}/")).body == packed


async def test_an_answer_that_takes_too_long_is_lost() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with server(slow) as port, calling() as outbound:
        with pytest.raises(AnswerLost, match="no answer within"):
            await outbound.call("GET", f"http://127.0.0.1:{port}/", timeout_s=0.1)


async def test_a_connection_that_breaks_after_the_request_is_a_lost_answer() -> None:
    async def broken(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with server(broken) as port, calling() as outbound:
        with pytest.raises(AnswerLost):
            await outbound.call("POST", f"http://127.0.0.1:{port}/", b"{}")


async def test_a_refused_dial_says_that_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with calling() as outbound:
        with pytest.raises(DialFailed):
            await outbound.call("POST", f"http://127.0.0.1:{port}/", b"{}")


async def test_an_unknown_name_says_that_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: Any, **__: Any) -> list[dict[str, Any]]:
        raise OSError("Name or service not known")

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    async with calling() as outbound:
        with pytest.raises(DialFailed):
            await outbound.call("GET", "http://nowhere.example/")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://",
        "127.0.0.1",
        "http://u:p@127.0.0.1/",
        "",
        "http://[x/",
    ],
)
async def test_other_urls_are_refused(url: str) -> None:
    async with calling() as outbound:
        with pytest.raises(OutboundRefused):
            await outbound.call("GET", url)


async def test_the_environment_s_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with server(echo) as port, calling() as outbound:
        assert (await outbound.call("GET", f"http://127.0.0.1:{port}/")).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_machine_where_nobody_listens_is_told_from_one_that_is_silent(host: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with calling(OutboundSettings()) as outbound:
        with pytest.raises(DialFailed) as failed:
            await outbound.call("GET", f"http://{host}:{port}/")
    assert failed.value.refused


async def test_an_answer_that_takes_too_long_is_told_from_one_that_broke_off() -> None:
    async def handle(request: web.Request) -> web.Response:
        if request.path == "/broken":
            assert request.transport is not None
            request.transport.abort()
        await asyncio.sleep(5)
        return web.Response()

    async with server(handle) as port, calling() as outbound:
        with pytest.raises(AnswerLost) as late:
            await outbound.call("GET", f"http://127.0.0.1:{port}/", timeout_s=0.1)
        with pytest.raises(AnswerLost) as broken:
            await outbound.call("GET", f"http://127.0.0.1:{port}/broken")
    assert (late.value.late, broken.value.late) == (True, False)
