"""How a worker introduces itself and how it behaves."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_SERVER = "http://127.0.0.1:8080"

Delivery = Literal["auto", "websocket", "claim"]


def server_url(given: str | None) -> str:
    """Return the control plane's address.

    As given, else `STELLWERK_SERVER`, else the main port of this machine.
    """
    return (given or os.environ.get("STELLWERK_SERVER") or DEFAULT_SERVER).rstrip("/")


def api_key(given: str | None) -> str | None:
    """Return the API key.

    As given, else `STELLWERK_API_KEY`, else None (enough for an open loopback listener).
    """
    return given or os.environ.get("STELLWERK_API_KEY") or None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Options of a worker; every one has a default that works."""

    server: str | None = None
    """Address of the control plane; None means `STELLWERK_SERVER`, else `http://127.0.0.1:8080`."""
    api_key: str | None = None
    """None means `STELLWERK_API_KEY`, else no credentials."""
    agent_id: str | None = None
    """None makes one up for this process, and takes it out of the registry again at a graceful end."""
    instance_id: str | None = None
    """None makes one up for this process where `agent_id` is given, so that processes may share an agent id.

    Give it a name where a process that was killed comes back as the same one: what it does not hold any more
    is then given out again at once, and not only when its leases end.
    """
    agent_type: str = "worker"
    version: str | None = None
    capabilities: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """Announced beside the task types, which are announced as services by themselves."""
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 10
    """Tasks at once, the server's own default. Functions that only compute want the number of cores."""
    delivery: Delivery = "auto"
    """`auto` is the WebSocket, and claiming over plain HTTP where something on the way does not let
    WebSockets through.
    """
    drain_s: float = 30.0
    """How long running functions may go on after SIGTERM before their tasks are given back.

    Orchestrators wait 30 s as a rule.
    """
    accept_after_s: float = 0.05
    """Repeatable tasks that are done sooner are never announced as started.

    It saves a commit and two frames for each.
    """
    reconnect_cap_s: float = 5.0
    """Longest pause between two attempts to connect.

    Below the server's grace for broken connections (15 s).
    """
    max_result_bytes: int = 1_048_576
    """Larger results fail the task here, because the server would refuse them."""

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")


def invented_id() -> str:
    """Make an id that no other process has."""
    host = "".join(c if c.isalnum() else "-" for c in socket.gethostname().lower())[:200]
    return f"{host}-{os.getpid()}-{os.urandom(3).hex()}"
