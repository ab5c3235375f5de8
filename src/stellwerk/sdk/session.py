"""Keeping a worker joined: register, connect, and again when it breaks, until it is told to end.

The pause between attempts doubles up to a cap and starts over once a connection has held for a while.
Registration happens at the start and whenever the control plane does not know the agent. Refusals that will
not go away (credentials, a foreign agent id, another process under the same identity) end the worker with the
error.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from stellwerk.sdk.backoff import Backoff, chance
from stellwerk.sdk.claiming import ClaimLink
from stellwerk.sdk.errors import StellwerkError, Unreachable
from stellwerk.sdk.functions import Functions
from stellwerk.sdk.holdings import Holdings
from stellwerk.sdk.links import Ends, LinkBlocked, LinkBroken, NotRegistered
from stellwerk.sdk.load import LoadMeter
from stellwerk.sdk.options import WorkerOptions, api_key, invented_id, server_url
from stellwerk.sdk.outbox import Outbox
from stellwerk.sdk.transport import Transport
from stellwerk.sdk.websocket import WebSocketLink

_log = logging.getLogger("stellwerk.worker")

STEADY_S = 10.0
"""A connection that held this long was a good one: the next break starts with the shortest pause."""
UNKNOWN_LIMIT = 3
"""So often in a row may a registered agent be unknown to the WebSocket before something else must be
answering.
"""
SETTLE_S = 10.0
"""How long a worker that ends waits for the last outcomes to become durable."""


class Session:
    """One worker's stay with a control plane. To be used within `async with`, once."""

    def __init__(self, functions: Functions, options: WorkerOptions) -> None:
        self.agent_id = options.agent_id or f"worker-{invented_id()}"
        self._passing = options.agent_id is not None and options.instance_id is None
        if self._passing:
            options = replace(options, instance_id=invented_id())
        self._functions = functions
        self._options = options
        self._transport = Transport(
            server_url(options.server), api_key=api_key(options.api_key), retry_s=10.0
        )
        outbox = Outbox()
        self._holdings = Holdings(functions, options, outbox)
        ends = Ends(self.agent_id, options, self._transport, self._holdings, outbox, LoadMeter())
        self._ends = ends
        self._link: WebSocketLink | ClaimLink = (
            ClaimLink(ends) if options.delivery == "claim" else WebSocketLink(ends)
        )

    async def keep(self) -> None:
        """Stay joined until cancelled. Raises `Refused` and `Replaced` when trying again is pointless."""
        registered, unknown = False, 0
        backoff = Backoff(cap_s=self._options.reconnect_cap_s)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                if not registered:
                    await self._register()
                    registered = True
                    _log.info("%s joined %s", self.agent_id, self._transport.server)
                await self._link.serve()
            except NotRegistered as fault:
                registered, unknown = False, unknown + 1
                if unknown >= UNKNOWN_LIMIT:
                    self._fall_back(fault)
            except LinkBlocked as fault:
                self._fall_back(fault)
            except (LinkBroken, Unreachable) as fault:
                unknown = 0
                _log.warning("%s; %s tries again", fault, self.agent_id)
            if loop.time() - began > STEADY_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s(chance()))

    def _fall_back(self, fault: StellwerkError) -> None:
        if self._options.delivery != "auto" or isinstance(self._link, ClaimLink):
            _log.warning("no WebSocket to %s: %s", self._transport.server, fault)
            return
        _log.warning("no WebSocket to %s (%s): tasks are claimed over HTTP", self._transport.server, fault)
        self._link = ClaimLink(self._ends)

    async def _register(self) -> None:
        await self._transport.call(
            "POST",
            "/agents/register",
            Any,
            body=registration(self.agent_id, self._functions, self._options, passing=self._passing),
            repeatable=True,
        )

    async def drain(self) -> None:
        """Finish or give back what is held, within the options' limits. `keep` goes on meanwhile."""
        await self._holdings.drain(self._options.drain_s, SETTLE_S)
        left = len(self._holdings)
        if left:
            _log.warning("%d outcomes were not settled; their leases will end by themselves", left)

    def hurry(self) -> None:
        """Make `drain` give everything back at once."""
        self._holdings.hurry()

    async def leave(self) -> None:
        """Say goodbye; an invented agent is taken out of the registry. Failures do not matter any more."""
        try:
            async with asyncio.timeout(2.0):
                await self._link.say_goodbye()
                if self._options.agent_id is None and not len(self._holdings):
                    await self._transport.once("DELETE", f"/agents/{quote(self.agent_id, safe='')}")
        except (StellwerkError, OSError, TimeoutError) as fault:
            _log.info("left without a goodbye: %s", fault)

    async def close(self) -> None:
        """Ask what still runs to stop, and close the connections."""
        self._holdings.interrupt()
        await self._transport.close()


def registration(
    agent_id: str, functions: Functions, options: WorkerOptions, *, passing: bool
) -> dict[str, Any]:
    """Render how a worker introduces itself; `passing`: its instance will not come back under that name."""
    metadata: dict[str, Any] = {"sdk": "stellwerk-python"} | ({"ephemeral": True} if passing else {})
    body: dict[str, Any] = {
        "agent_id": agent_id,
        "agent_type": options.agent_type,
        "capabilities": list(options.capabilities),
        "services": list(dict.fromkeys((*options.services, *functions.task_types))),
        "labels": dict(options.labels),
        "tags": list(options.tags),
        "max_concurrency": options.concurrency,
        "metadata": metadata,
    }
    optional = {"instance_id": options.instance_id, "version": options.version}
    return body | {name: value for name, value in optional.items() if value is not None}
