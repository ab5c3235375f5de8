"""The WebSocket link: the control plane pushes, the worker answers on the same connection.

Three loops share a connection: one reads, one writes what the outbox gathered, one sends heartbeats. When one
ends, so do the others. The first frame is always `hello` with what is held, also when that is nothing: the
server then knows that leases of a former process are not worked on any more. Silence is found out by pings;
`close` codes tell a replaced worker from a broken connection.
"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import aiohttp
import msgspec

from stellwerk.sdk.backoff import chance
from stellwerk.sdk.errors import refusal
from stellwerk.sdk.links import Ends, LinkBlocked, LinkBroken, NotRegistered, Replaced
from stellwerk.sdk.outbox import messages
from stellwerk.sdk.transport import RETRIED
from stellwerk.sdk.wire import Frame, Goodbye, Heartbeat, decode, encode

PING_S = 20.0
"""A connection that does not answer pings this far apart is dead; nearly three fit into a lease."""
CONNECT_S = 15.0
MESSAGE_BYTES = 16 * 1_048_576
"""Largest message that is taken: a batch of tasks of 1 MiB each has to fit."""
HEARTBEAT_S = 30.0
"""Until the server says how often it wants to hear."""
REPLACED = 4409
"""Close code: another connection of the same instance took over."""


class WebSocketLink:
    """Serves WebSocket connections, one after the other."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._heartbeat_s = HEARTBEAT_S
        self._welcomed = asyncio.Event()

    async def serve(self) -> None:
        """Serve one connection until it ends; see `Link`."""
        self._socket = socket = await self._connect()
        self._welcomed.clear()
        outbox = self._ends.outbox
        outbox.open()
        loops: list[asyncio.Task[None]] = []
        try:
            self._ends.holdings.resume()
            loops = [
                asyncio.create_task(each) for each in (self._read(socket), self._write(socket), self._beat())
            ]
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        except (aiohttp.ClientError, OSError) as fault:
            raise LinkBroken(f"the connection broke: {fault or type(fault).__name__}") from fault
        finally:
            outbox.close()
            self._socket = None
            for each in loops:
                each.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await socket.close()

    async def say_goodbye(self) -> None:
        """Tell the server that this end of the connection is meant. Harmless without a connection."""
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_frame(encode(Goodbye()), aiohttp.WSMsgType.TEXT)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        ends, options = self._ends, self._ends.options
        query = {"max_concurrency": str(options.concurrency)}
        if options.instance_id:
            query["instance_id"] = options.instance_id
        try:
            async with asyncio.timeout(CONNECT_S):
                return await ends.transport.session.ws_connect(
                    f"{ends.transport.server}/agents/{quote(ends.agent_id, safe='')}/ws",
                    params=query,
                    heartbeat=PING_S,
                    max_msg_size=MESSAGE_BYTES,
                    compress=0,
                )
        except aiohttp.WSServerHandshakeError as fault:
            raise _refused(fault.status) from fault
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise LinkBroken(f"no connection to {ends.transport.server}: {fault or 'timed out'}") from fault

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        take = self._ends.holdings.take
        while (message := await socket.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            try:
                frames = decode(message.data)
            except msgspec.DecodeError as fault:
                raise LinkBroken(f"the control plane sent something that is no frame: {fault}") from fault
            if not self._welcomed.is_set():
                self._look_for_welcome(frames)
            take(frames)
        if socket.close_code == REPLACED:
            raise Replaced(f"another process works as {self._ends.agent_id!r}")
        raise LinkBroken(f"the control plane closed the connection ({socket.close_code})")

    def _look_for_welcome(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.type == "welcome":
                self._heartbeat_s = frame.heartbeat_interval_s or HEARTBEAT_S
                self._welcomed.set()

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        take = self._ends.outbox.take
        while True:
            for message in messages(await take()):
                await socket.send_frame(message, aiohttp.WSMsgType.TEXT)

    async def _beat(self) -> None:
        ends = self._ends
        await self._welcomed.wait()
        while True:
            ends.outbox.put(encode(Heartbeat(ends.meter.read(len(ends.holdings)))))
            # Spread over the last fifth of the interval, so that a fleet that started together drifts apart.
            await asyncio.sleep(self._heartbeat_s * (0.8 + 0.2 * chance()))


def _refused(status: int) -> Exception:
    """Say what a refused handshake means."""
    if status == 404:
        return NotRegistered("the control plane does not know this agent")
    if status in (400, 405, 426, 501) or 200 <= status < 400:
        return LinkBlocked(f"the handshake was answered with {status}")
    if status in RETRIED or status >= 500:
        return LinkBroken(f"the control plane is not available ({status})")
    if status == 409:
        return refusal(status, "another principal owns this agent id")
    return refusal(status, "the control plane refused the connection; look at the API key and its scopes")
