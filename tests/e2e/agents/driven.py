"""A control plane with a clock that a test drives, and real agents that are connected to it over mutual TLS.

The clock begins some days ago and is only ever moved up to now, so that the certificates it dates are good in
the eyes of OpenSSL, which looks at the machine's own clock. Leases are long: what a jump ends shall be
certificates, not tasks.
"""

import asyncio
import contextlib
import os
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bench.serving import Process
from cryptography import x509

from e2e.agents.plane import STELLWERK
from stellwerk.app import ControlPlane
from stellwerk.interfaces.deployment.words import stamp
from stellwerk.settings import FleetSettings, ServerSettings, Settings, TrustSettings, WorkSettings
from support.clock import FakeClock
from support.plane import Answer, Caller, free_ports

DAY_S = 86_400.0
DUE_S = DAY_S * 2 / 3
BEGINS_S = 6 * DAY_S
"""How long ago the clock begins: the longest that a test may drive it."""
LIMIT_S = 20.0
LONG_S = 7 * DAY_S
"""For tasks that must not end because the clock jumps."""
DIGEST = "sha256:" + "5e" * 32


@dataclass(slots=True)
class Agent:
    """One agent, as a process that is started and killed."""

    name: str
    home: Path
    options: list[str]
    process: Process | None = None

    def start(self) -> None:
        """Start it; what it has on disk is what it knows."""
        self.process = Process([STELLWERK, "agent", "run", *self.options], self.log)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.process is not None:
            self.process.kill()

    @property
    def log(self) -> Path:
        return self.home.with_suffix(".log")

    @property
    def identity(self) -> Path:
        """Its folder of keys and certificates."""
        return self.home / "identity"

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that it uses."""
        return x509.load_pem_x509_certificate((self.identity / "current.pem").read_bytes())


class Gate:
    """Stands where an agent writes its next certificate, and stops it there.

    A pipe that nobody reads: whoever opens it to write waits. So the agent has the server's answer and
    cannot store it, for as long as the test likes.
    """

    def __init__(self, agent: Agent) -> None:
        agent.identity.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._place = agent.identity / "next.pem.new"
        os.mkfifo(self._place, 0o600)

    async def reached(self) -> None:
        """Wait until the agent is at the gate."""
        async with asyncio.timeout(LIMIT_S):
            # The other side of the pipe opens when the agent does.
            os.close(await asyncio.to_thread(os.open, self._place, os.O_RDONLY))

    def remove(self) -> None:
        """Let the next one through."""
        self._place.unlink()


@dataclass(slots=True)
class Driven:
    """The plane and its agents."""

    folder: Path
    clock: FakeClock
    main: Caller
    url: str
    """Of the TLS listener."""
    agents: list[Agent] = field(default_factory=list)

    async def join(self, name: str) -> Agent:
        """Start an agent with a token of its own, kept in a file, and wait until it is at work."""
        agent = await self.prepare(name)
        agent.start()
        await self.works(agent)
        return agent

    async def prepare(self, name: str) -> Agent:
        """Make an agent that has a token and was not started yet."""
        home = self.folder / name
        token_file = self.folder / f"{name}.token"
        made = await self.main.post("/api/v1/admin/agent-tokens", {"name": name})
        token_file.write_text(made["token"])
        options = ["--server", self.url, "--name", name, "--data-dir", str(home)]
        options += ["--token-file", str(token_file), "--ca-sha256", made["caSha256"]]
        agent = Agent(name, home, options)
        self.agents.append(agent)
        return agent

    async def works(self, agent: Agent) -> None:
        """Wait until the agent has done a task that is given to it now."""
        await self.until(lambda: self.joined(agent), f"{agent.name} joins")
        payload = {"path": "done.json", "content": {"release": "r1", "digest": DIGEST}}
        task = {"agent": agent.name, "taskType": "sticker.write", "payload": payload}
        given = await self.main.post("/api/v1/tasks", {**task, "timeout": LONG_S, "expiresIn": LONG_S})
        shown: dict[str, Any] = {}

        async def done() -> bool:
            shown.update(await self.main.get(f"/api/v1/tasks/{given['taskId']}"))
            return shown["status"] not in ("pending", "assigned", "running")

        await self.until(done, f"{agent.name} does a task")
        assert shown["status"] == "succeeded", shown

    async def joined(self, agent: Agent) -> bool:
        return (await self.main.call("GET", f"/api/v1/tasks?agent={agent.name}&limit=1")).status == 200

    async def beats(self, agent: Agent) -> None:
        """Wait until the agent has been heard since the clock was moved, and uses what that brought it."""

        async def heard() -> bool:
            shown = await self.main.get(f"/api/v1/agents/{await self.id_of(agent)}")
            now = stamp(self.clock.now_us())
            return bool(shown["lastHeartbeat"] == now and shown["certificates"][0]["state"] == "active")

        await self.until(heard, f"{agent.name} is heard")

    async def certificates(self, agent: Agent) -> dict[str, str]:
        """Return the states of the agent's certificates by serial, the newest first."""
        shown = (await self.main.get(f"/api/v1/agents/{await self.id_of(agent)}"))["certificates"]
        return {one["serial"]: one["state"] for one in shown}

    async def states(self, agent: Agent) -> list[str]:
        """Return them without their serials."""
        return list((await self.certificates(agent)).values())

    async def id_of(self, agent: Agent) -> str:
        listed = await self.main.get("/api/v1/agents")
        return str(next(one["id"] for one in listed if one["name"] == agent.name))

    async def comes_to(self, agent: Agent, states: list[str]) -> None:
        """Wait until the agent's certificates are in these states."""

        async def there() -> bool:
            return await self.states(agent) == states

        await self.until(there, f"{agent.name} comes to {states}")

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        """Wait until something holds, within a limit."""
        limit = time.monotonic() + LIMIT_S
        while not (found := holds()) or (asyncio.iscoroutine(found) and not await found):
            if time.monotonic() > limit:
                logs = "\n".join(one.process.log_end(1500) for one in self.agents if one.process)
                raise AssertionError(f"not within {LIMIT_S:.0f} s: {what}\n{logs}")
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def as_agent(self, agent: Agent) -> AsyncIterator["Connection"]:
        """Connect with a copy of the agent's present identity, on one connection that is kept."""
        copy = self.folder / "copy.pem"
        shutil.copy(agent.identity / "current.pem", copy)
        context = ssl.create_default_context(cadata=(agent.identity / "ca.pem").read_text())
        context.load_cert_chain(copy)
        connector = aiohttp.TCPConnector(ssl=context, limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Connection(Caller(self.url, session), f"/api/v1/agents/{await self.id_of(agent)}")


@dataclass(frozen=True, slots=True)
class Connection:
    """Somebody who shows an agent's certificate."""

    caller: Caller
    path: str

    async def look(self) -> tuple[int, str | None]:
        """Look at the agent's tasks; return status and code of the refusal."""
        answer: Answer = await self.caller.call("GET", f"{self.path}/tasks")
        return answer.status, None if answer.status == 200 else answer.body["error"]["code"]


@asynccontextmanager
async def driven(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Driven]:
    """Run a control plane whose background passes look often, because its clock jumps."""
    patch.setattr("stellwerk.trust.certificates.upkeep.EVERY_S", 0.1)
    patch.setattr("stellwerk.http.tls.LOOK_S", 0.1)
    patch.setattr("stellwerk.interfaces.deployment.task_streams.CHECK_S", 0.2)
    clock = FakeClock(int((time.time() - BEGINS_S) * 1_000_000))
    settings = Settings(
        data_dir=folder / "data",
        server=ServerSettings(tls_port=0),
        trust=TrustSettings(server_certificate_s=30 * DAY_S),
        fleet=FleetSettings(heartbeat_interval_s=1.0),
        work=WorkSettings(lease_s=LONG_S, ack_deadline_s=LONG_S, flush_s=0.05),
    )
    control = ControlPlane(free_ports(settings), clock)
    await control.start()
    plane: Driven | None = None
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            listeners = control.listeners
            plane = Driven(folder, clock, Caller(listeners["main"], session), listeners["tls"])
            yield plane
    finally:
        for agent in plane.agents if plane else ():
            agent.kill()
        with contextlib.suppress(asyncio.CancelledError):
            await control.stop()
