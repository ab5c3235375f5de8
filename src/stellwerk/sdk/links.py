"""The ways between a worker and the control plane: one interface over WebSocket and plain HTTP.

A link serves one connection: it puts what the server says into the holdings, and what the outbox has on the
wire, until the connection breaks or it is cancelled. It keeps no state of its own, so that any number of
links may follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stellwerk.sdk.errors import StellwerkError
from stellwerk.sdk.holdings import Holdings
from stellwerk.sdk.load import LoadMeter
from stellwerk.sdk.options import WorkerOptions
from stellwerk.sdk.outbox import Outbox
from stellwerk.sdk.transport import Transport


class LinkBroken(StellwerkError):
    """The connection ended or did not come about; try again."""


class NotRegistered(StellwerkError):
    """The control plane does not know the agent; register and try again."""


class LinkBlocked(StellwerkError):
    """Something on the way does not let WebSockets through."""


class Replaced(StellwerkError):
    """Another process has connected as the same instance of the same agent."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What a link joins."""

    agent_id: str
    options: WorkerOptions
    transport: Transport
    holdings: Holdings
    outbox: Outbox
    meter: LoadMeter


class Link(Protocol):
    """One way to the control plane."""

    async def serve(self) -> None:
        """Serve one connection until it ends.

        Raises LinkBroken, NotRegistered, LinkBlocked, Replaced, and `Refused` when trying again is pointless.
        """
