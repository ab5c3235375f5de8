"""The TLS side of listeners: client certificates, handshakes, and what changes while connections are open."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from stellwerk.http.gate import Interface
from stellwerk.http.tls import Tls
from stellwerk.settings import LimitSettings
from support.agent_authority import TestAuthority
from support.listening import OPEN, Listening, listening, tasks_shape, with_limits

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy:DeprecationWarning")

DAY_S = 86_400.0
ALERT = (ssl.SSLError, aiohttp.ClientError)


@pytest.fixture(
    params=[asyncio.DefaultEventLoopPolicy(), uvloop.EventLoopPolicy()], ids=["asyncio", "uvloop"]
)
def event_loop_policy(request: pytest.FixtureRequest) -> Any:
    """Run every test on the loop of production too: each has a TLS of its own."""
    return request.param


class Watching:
    """An application that keeps what scopes say of the other side, and echoes."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope.get("extensions", {}).get("tls"))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


class Door:
    """A listener that asks for certificates, with its authorities and its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "server.pem"
        self.servers = TestAuthority("servers")
        self.servers.write_server(self.file)
        self.agents = TestAuthority("agents")
        self.tls = Tls(self.file, self.file)
        self.tls.trust(self.agents.pem)
        self.watching = Watching()
        self.served: Listening

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.served.listener.port

    def client(self, authority: TestAuthority | None = None, **life: float) -> ssl.SSLContext:
        """Make a client's context; it has a certificate if an authority is given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.servers.pem)
        if authority is not None:
            file = self.folder / "a.pem"
            authority.write_agent(file, **life)
            context.load_cert_chain(file)
        return context

    async def get(self, context: ssl.SSLContext) -> int:
        """Ask once; the session keeps the connection of each context."""
        async with self.served.session.get(self.served.url + "/x", ssl=context) as answer:
            return answer.status

    def shown(self) -> list[bytes]:
        """Return the chain of the latest request."""
        chain: list[bytes] = self.watching.seen[-1]["client_cert_chain"]
        return chain


@asynccontextmanager
async def opened(folder: Path, limits: LimitSettings | None = None) -> AsyncIterator[Door]:
    door = Door(folder)
    interface = Interface("watching", door.watching, tasks_shape)
    async with listening(replace(OPEN, hosts=None), limits, door.tls, [interface]) as served:
        door.served = served
        yield door


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as running:
        yield running


async def test_no_certificate_is_needed(door: Door) -> None:
    assert await door.get(door.client()) == 204
    assert door.shown() == []


async def test_application_sees_the_certificate_and_since_when(door: Door) -> None:
    before = time.time() * 1e6
    client = door.client(door.agents)
    for _ in range(2):
        assert await door.get(client) == 204
    text = (door.folder / "a.pem").read_text()
    shown = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])
    first, second = door.watching.seen
    assert first["client_cert_chain"] == [shown]
    assert before <= first["connected_at"] == second["connected_at"] <= time.time() * 1e6


async def test_websocket_sees_the_certificate_too(door: Door) -> None:
    url = door.served.url + "/ws"
    async with door.served.session.ws_connect(url, ssl=door.client(door.agents)) as stream:
        await stream.send_str("a")
        assert await stream.receive_str() == "a"
    assert len(door.shown()) == 1


@pytest.mark.parametrize("since_s", [-2 * DAY_S, DAY_S], ids=["expired", "not yet valid"])
async def test_validity_is_left_to_the_application(door: Door, since_s: float) -> None:
    assert await door.get(door.client(door.agents, since_s=since_s, life_s=DAY_S)) == 204
    assert len(door.shown()) == 1


async def test_certificate_of_a_foreign_authority_is_answered_with_an_alert(door: Door) -> None:
    with pytest.raises(ALERT, match=r"(?i)unknown.ca"):
        await door.get(door.client(TestAuthority("agents")))
    assert door.watching.seen == []


async def test_certificate_of_another_purpose_is_answered_with_an_alert(door: Door) -> None:
    client = door.client()
    door.agents.write_server(door.folder / "b.pem")
    client.load_cert_chain(door.folder / "b.pem")
    with pytest.raises(ALERT, match=r"(?i)unsupported.certificate"):
        await door.get(client)
    assert door.watching.seen == []


async def test_older_versions_are_refused(door: Door) -> None:
    client = door.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ALERT, match=r"(?i)protocol.version"):
        await door.get(client)


async def test_no_session_is_resumed(door: Door) -> None:
    client = door.client(door.agents)

    def connect(earlier: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(door.address, 5) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1", session=earlier) as secure,
        ):
            secure.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            assert secure.recv(1000).startswith(b"HTTP/1.1 204")
            return secure.session, bool(secure.session_reused)

    session, _ = await asyncio.to_thread(connect, None)
    assert session is None or not session.has_ticket
    assert (await asyncio.to_thread(connect, session))[1] is False


async def test_plain_http_is_cut(door: Door) -> None:
    assert b"HTTP" not in await door.served.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_slow_handshakes_end(tmp_path: Path) -> None:
    async with opened(tmp_path, with_limits(handshake_s=0.3)) as door:
        silent, _ = await asyncio.open_connection(*door.address)
        began = time.monotonic()
        trickling, writer = await asyncio.open_connection(*door.address)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        async with asyncio.timeout(5):
            for reader in (silent, trickling):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
        assert 0.2 < time.monotonic() - began < 3
        assert await door.get(door.client()) == 204


async def test_peers_that_never_shake_hands_starve_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path, with_limits(handshakes=50)) as door:
        for _ in range(16):  # It learns what is usual.
            assert await door.get(door.client(door.agents)) == 204
        silent = [await asyncio.open_connection(*door.address) for _ in range(200)]
        took = []
        for _ in range(10):
            began = time.monotonic()
            silent.append(await asyncio.open_connection(*door.address))
            assert await door.get(door.client(door.agents)) == 204
            took.append(time.monotonic() - began)
        assert max(took) < 4
        # Those that came first have been cut, by a bound and not by the time.
        async with asyncio.timeout(5):
            for reader, _ in silent[:150]:
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
        for _, writer in silent:
            writer.close()


async def test_crowd_of_honest_peers_is_served_beyond_the_bound(tmp_path: Path) -> None:
    async with opened(tmp_path, with_limits(handshakes=64)) as door:
        client = door.client(door.agents)

        async def once() -> int:
            async with (
                aiohttp.ClientSession() as session,
                session.get(door.served.url + "/x", ssl=client) as answer,
            ):
                return answer.status

        assert set(await asyncio.gather(*(once() for _ in range(200)))) == {204}


async def test_what_is_trusted_changes_while_connections_are_open(door: Door) -> None:
    newer = TestAuthority("agents")
    old = door.client(door.agents)
    url = door.served.url + "/ws"
    async with door.served.session.ws_connect(url, ssl=old) as stream:
        assert await door.get(old) == 204
        door.tls.trust(newer.pem + door.agents.pem)
        assert await door.get(door.client(newer)) == 204
        assert await door.get(door.client(door.agents)) == 204
        door.tls.trust(newer.pem)
        assert await door.get(door.client(newer)) == 204
        with pytest.raises(ALERT, match=r"(?i)unknown.ca"):
            await door.get(door.client(door.agents))
        # What the open ones are worth is decided by the application, on every request.
        assert await door.get(old) == 204
        await stream.send_str("still here")
        assert await stream.receive_str() == "still here"


async def test_server_certificate_changes_while_connections_are_open(door: Door) -> None:
    old = door.client(door.agents)
    url = door.served.url + "/ws"
    async with door.served.session.ws_connect(url, ssl=old) as stream:
        assert await door.get(old) == 204
        door.servers = TestAuthority("servers")
        door.servers.write_server(door.file)
        assert door.tls.reload()
        assert await door.get(old) == 204  # Over the connection that it has.
        await stream.send_str("still here")
        assert await stream.receive_str() == "still here"
        client = door.client(door.agents)
        assert await door.get(client) == 204
        assert len(door.shown()) == 1


async def test_new_roots_are_trusted_though_the_files_do_not_fit(door: Door) -> None:
    whole, newer = door.file.read_text(), TestAuthority("agents")
    door.file.write_text("half written")
    door.tls.trust(newer.pem + door.agents.pem)
    assert await door.get(door.client(newer)) == 204
    door.file.write_text(whole)
    assert door.tls.reload()
    assert await door.get(door.client(newer)) == 204


async def test_stopping_cuts_handshakes_under_way(door: Door) -> None:
    reader, _ = await asyncio.open_connection(*door.address)
    await door.get(door.client())
    async with asyncio.timeout(3):
        await door.served.listener.stop()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
