"""Sockets, TLS and the graceful stop."""

import asyncio
import errno
import json
import socket
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from stellwerk.http.gate import Interface
from stellwerk.http.listener import bind
from stellwerk.http.operation import Answer, Call, Streaming
from stellwerk.http.tls import Tls
from support.certificates import write_certificate
from support.listening import Listening, listening, operation, routed, tasks_shape


def peer_name(port: int) -> str:
    """Tell which certificate the listener shows."""
    return ssl.get_server_certificate(("127.0.0.1", port))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    write_certificate(certificate, key, "first.example")
    return certificate, key


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def test_a_busy_port_is_refused_when_it_is_bound() -> None:
    with bind("127.0.0.1", 0) as first, pytest.raises(OSError) as refused:
        bind("127.0.0.1", first.getsockname()[1])
    assert refused.value.errno == errno.EADDRINUSE


async def test_the_address_of_a_listener_is_one_that_a_client_can_use(served: Listening) -> None:
    assert served.url == f"http://127.0.0.1:{served.listener.port}"


async def test_starting_and_stopping_again_is_no_error(served: Listening) -> None:
    await served.listener.start()
    assert (await served.call("GET", "/health"))[0] == 200
    await served.listener.stop()
    await served.listener.stop()


async def test_a_listener_speaks_tls(files: tuple[Path, Path]) -> None:
    async with listening(tls=Tls(*files)) as served:
        assert served.url.startswith("https://")
        async with served.session.get(served.url + "/health", ssl=trusting(files[0])) as answer:
            assert answer.status == 200


async def test_changed_certificate_files_are_shown_to_new_connections(files: tuple[Path, Path]) -> None:
    tls = Tls(*files)
    async with listening(tls=tls) as served:
        trusts_first = trusting(files[0])
        async with served.session.get(served.url + "/health", ssl=trusts_first):
            pass
        before = await asyncio.to_thread(peer_name, served.listener.port)
        write_certificate(*files, "second.example")
        assert tls.reload()
        assert not tls.reload()
        after = await asyncio.to_thread(peer_name, served.listener.port)
        assert before != after
        # The connection of before is still good, although its context would not trust the new certificate.
        async with served.session.get(served.url + "/health", ssl=trusts_first) as answer:
            assert answer.status == 200


async def test_files_that_do_not_fit_leave_the_old_certificate(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    tls = Tls(*files)
    async with listening(tls=tls) as served:
        before = await asyncio.to_thread(peer_name, served.listener.port)
        write_certificate(files[0], tmp_path / "other.key", "half.example")
        assert not tls.reload()
        assert await asyncio.to_thread(peer_name, served.listener.port) == before
        (tmp_path / "other.key").replace(files[1])
        assert tls.reload()
        assert await asyncio.to_thread(peer_name, served.listener.port) != before


def test_files_that_cannot_be_used_are_refused_at_the_start(files: tuple[Path, Path]) -> None:
    files[1].write_text("no key")
    with pytest.raises(OSError):
        Tls(*files)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(files: tuple[Path, Path]) -> None:
    async with listening(tls=Tls(*files)) as served:
        old = trusting(files[0])
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(aiohttp.ClientConnectorError):
            await served.session.get(served.url + "/health", ssl=old)


async def test_stopping_closes_websockets_with_1012(served: Listening) -> None:
    async with served.session.ws_connect(served.url + "/tasks/ws") as client:
        assert await client.receive_str() == "welcome"
        stopping = asyncio.create_task(served.listener.stop())
        message = await client.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        await stopping
    assert served.seen.closed == [1012]


async def test_a_websocket_whose_client_leaves_ends_without_an_error(
    served: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    async with served.session.ws_connect(served.url + "/tasks/ws") as client:
        await client.send_str("hello")
    async with asyncio.timeout(5):
        await served.seen.socket_closed.wait()
    await served.listener.stop()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_stopping_lets_a_running_request_finish(served: Listening) -> None:
    running = asyncio.create_task(served.call("GET", "/tasks/slow"))
    await served.seen.entered.wait()
    stopping = asyncio.create_task(served.listener.stop())
    await asyncio.sleep(0)
    served.seen.release.set()
    assert (await running)[0] == 200
    await stopping


async def test_a_request_beyond_the_limit_of_the_stop_is_cut() -> None:
    async with listening(stop_timeout_s=1) as served:
        running = asyncio.create_task(served.call("GET", "/tasks/slow"))
        await served.seen.entered.wait()
        async with asyncio.timeout(5):
            await served.listener.stop()
        assert (await running)[:2] == (503, {"detail": "The server stops", "code": "unavailable"})


async def test_a_stopped_listener_takes_no_connection(served: Listening) -> None:
    await served.listener.stop()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", served.listener.port))


async def test_an_endless_stream_ends_when_the_listener_stops() -> None:
    ended = asyncio.Event()

    async def stream(call: Call[None, None]) -> Answer:
        async def events() -> AsyncGenerator[bytes, None]:
            try:
                yield b"data: first\n\n"
                await asyncio.Event().wait()
            finally:
                ended.set()

        return Streaming(events(), "text/event-stream")

    router = routed([operation("GET", "/stream", stream, None)], tasks_shape)
    interface = Interface("stream", router, tasks_shape, public=frozenset({"/stream"}))
    async with listening(interfaces=[interface], stop_timeout_s=10) as served:
        async with served.session.get(served.url + "/stream") as answer:
            assert b"first" in await answer.content.readline()
            async with asyncio.timeout(3):
                await served.listener.stop()
                await answer.content.read()
        assert ended.is_set()


async def test_an_application_that_fails_before_it_accepts_refuses_with_500() -> None:
    async def broken(scope: object, receive: object, send: object) -> None:
        raise RuntimeError("a secret")

    interface = Interface("broken", broken, tasks_shape)
    async with listening(interfaces=[interface]) as served:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await served.session.ws_connect(served.url + "/ws")
        assert refused.value.status == 500
        status, body, _ = await served.call("GET", "/x", x_request_id="r-9")
        assert (status, body["detail"]) == (500, "Internal server error: r-9")
        assert "secret" not in json.dumps(body)
