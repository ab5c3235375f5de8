"""Streams over real TLS: peers that do not read, and authorities that are rotated under them."""

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from stellwerk.http import duplex, outbox, websocket
from stellwerk.trust.principal import LOCAL
from support.machines import Agent, Machines, new_csr

DAY_S = 86_400


async def give(secure: Machines, agent: Agent, **payload: Any) -> str:
    asked = {"agent": agent.name, "taskType": "inspect", "payload": payload}
    return str((await secure.open.good("POST", "/api/v1/tasks", asked))["taskId"])


def deaf(agent: Agent) -> socket.socket:
    """Open the stream of an agent that reads its handshake and nothing more."""
    caller: Any = agent.caller
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    plain.settimeout(10)
    plain.connect(("127.0.0.1", urlsplit(caller.url).port))
    stream: ssl.SSLSocket = caller.wallet.context(caller.certificate).wrap_socket(
        plain, server_hostname="127.0.0.1"
    )
    stream.sendall(
        f"GET {agent.path}/task-stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b" 101 " in stream.recv(200)
    return stream


def read_to_the_end(stream: socket.socket) -> int:
    size = 0
    while got := stream.recv(65_536):
        size += len(got)
    return size


async def test_agent_that_does_not_read_is_cut_and_hinders_nobody(
    secure: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PATIENCE_S", 0.3)
    monkeypatch.setattr(duplex, "CLOSE_S", 0.1)
    monkeypatch.setattr(websocket, "CUT_AFTER_S", 0.1)
    quiet, other = await secure.agent("quiet"), await secure.agent("other")
    stream = await asyncio.to_thread(deaf, quiet)
    async with other.stream() as good:
        await good.begun()
        for _ in range(16):
            await give(secure, quiet, text="x" * 500_000)
        async with asyncio.timeout(2):
            task_id = await give(secure, other)
            assert (await good.hear("task_assigned"))["task"]["taskId"] == task_id
        async with asyncio.timeout(15):
            while len(secure.interface.streams) > 1:
                await give(secure, quiet, text="x" * 500_000)
                await asyncio.sleep(0.1)
        async with asyncio.timeout(2):
            task_id = await give(secure, other)
            assert (await good.hear("task_assigned"))["task"]["taskId"] == task_id
    # Cut, not closed: what waits for a peer that does not read is dropped.
    assert await asyncio.to_thread(read_to_the_end, stream) < 16 * 500_000


async def test_rotation_with_connected_agents_loses_none(secure: Machines) -> None:
    agents = [await secure.agent(f"agent-{number}") for number in range(4)]
    async with AsyncExitStack() as open_streams:
        streams = [await open_streams.enter_async_context(agent.stream()) for agent in agents]
        for stream in streams:
            await stream.begun()
        await secure.identities.rotate("agents", LOCAL)
        secure.clock.advance(DAY_S * 0.7)
        renewed = []
        for agent in agents:
            _, csr = new_csr()
            certificate = (await agent.beat(csr=csr))["certificateRenewal"]["cert"]
            renewed.append(replace(agent, caller=agent.caller.with_certificate(certificate)))
        for agent, stream in zip(renewed, streams, strict=True):
            await agent.beat()  # A connection of its own, by the new root.
            task_id = await give(secure, agent)
            assert (await stream.hear("task_assigned"))["task"]["taskId"] == task_id
        assert not any(stream.closed.done() for stream in streams)
    secure.clock.advance(DAY_S * 0.4)
    await secure.identities.upkeep()
    assert secure.identities.agent_ca.count("BEGIN CERTIFICATE") == 1
    for agent in renewed:
        await agent.beat()
        async with agent.stream() as stream:
            await stream.begun()
            assert stream.accepted is not None
            task_id = await give(secure, agent)
            assert (await stream.hear("task_assigned"))["task"]["taskId"] == task_id
    late = await secure.agent("late")
    await late.beat()
