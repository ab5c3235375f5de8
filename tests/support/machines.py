"""The interface of deployment agents in this process, behind its gate, with certificates put into the ASGI
scope where a listener would put them."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from stellwerk.database.database import Database, open_database
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.fleet.service import Fleet
from stellwerk.http.access import LOOPBACK_NAMES, Access
from stellwerk.http.auth import Authentication
from stellwerk.http.body import Bodies
from stellwerk.http.gate import Gate
from stellwerk.http.meter import Meter
from stellwerk.http.outbound import Outbound
from stellwerk.interfaces import coordinator, deployment, operations
from stellwerk.journal.service import Journal
from stellwerk.levels import Levels
from stellwerk.settings import Settings
from stellwerk.trust.certificates.service import Identities
from stellwerk.trust.principal import LOCAL
from stellwerk.trust.scopes import Scope
from stellwerk.trust.service import Keys
from stellwerk.trust.vault.cipher import load_key
from stellwerk.trust.vault.service import Secrets
from stellwerk.work.service import Work
from support.clock import FakeClock

WAIT_S = 5.0
MADE_KEYS: deque[ec.EllipticCurvePrivateKey] = deque(maxlen=100)
"""The latest keys of `new_csr`, for callers that show their certificate over real TLS."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.body["error"]["code"])


@dataclass(slots=True)
class Caller:
    """Sends requests to the gate, with the same certificate and headers each time."""

    gate: Gate
    certificate: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent: list[dict[str, Any]] = []
        asked = [{"type": "http.request", "body": raw, "more_body": False}]
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if asked:
                return asked.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = self._scope("http", path, {"content-length": str(len(raw)), **(headers or {})}, method=method)
        async with asyncio.timeout(70):
            await self.gate(scope, receive, send)
        answered = b"".join(message.get("body", b"") for message in sent[1:])
        named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        is_json = named.get("content-type") == "application/json" and answered
        return Answer(sent[0]["status"], json.loads(answered) if is_json else answered, named)

    async def good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Send a request that must be taken."""
        answer = await self.call(method, path, body, **more)
        assert 200 <= answer.status < 300, answer
        return answer.body

    @asynccontextmanager
    async def stream(self, path: str, protocols: Sequence[str] = ("agent.v1",)) -> AsyncIterator["Stream"]:
        """Open a WebSocket."""
        scope = self._scope("websocket", path, {}, subprotocols=list(protocols))
        stream = Stream(scope)
        serving = asyncio.create_task(self.gate(scope, stream.incoming.get, stream.take))
        stream.incoming.put_nowait({"type": "websocket.connect"})
        try:
            yield stream
        finally:
            stream.incoming.put_nowait({"type": "websocket.disconnect", "code": 1005})
            await asyncio.wait_for(serving, WAIT_S)

    def with_headers(self, **headers: str) -> "Caller":
        """Return a caller that sends further headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **named})

    def with_certificate(self, pem: str) -> "Caller":
        """Return a caller that shows a certificate."""
        return replace(self, certificate=pem)

    def _scope(self, kind: str, path: str, headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
        plain, _, query = path.partition("?")
        named = {"host": "localhost", **self.headers, **headers}
        tls = {"client_cert_chain": [] if self.certificate is None else [self.certificate]}
        return {
            "type": kind,
            "path": plain,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 1),
            "extensions": {"tls": tls},
            **more,
        }


class Stream:
    """The agent's side of a WebSocket."""

    def __init__(self, scope: dict[str, Any] | None = None) -> None:
        self._scope = scope or {}
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.accepted: dict[str, Any] | None = None
        self.refused: int | None = None
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._begun = asyncio.Event()

    async def take(self, message: dict[str, Any]) -> None:
        """Take what the server sends."""
        match message["type"]:
            case "websocket.accept":
                self.accepted = message
                self._begun.set()
            case "websocket.http.response.start":
                self.refused = message["status"]
                self._begun.set()
            case "websocket.http.response.body":
                self._frames.put_nowait(json.loads(message["body"]))
            case "websocket.close":
                self.closed.set_result(message["code"])
                self.incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})
            case _:
                frames = json.loads(message["text"])
                for frame in frames if isinstance(frames, list) else [frames]:
                    self._frames.put_nowait(frame)

    async def begun(self) -> None:
        """Wait until the handshake is answered."""
        await asyncio.wait_for(self._begun.wait(), WAIT_S)

    def pong(self) -> None:
        """Answer a ping, as the listener would notice it."""
        self._scope["state"]["on_pong"]()

    def say(self, **frame: Any) -> None:
        """Send a frame."""
        self.incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """Wait for a frame, of a type."""
        async with asyncio.timeout(WAIT_S):
            while True:
                frame = await self._frames.get()
                if kind in (None, frame.get("type")):
                    return frame


@dataclass(slots=True)
class Machines:
    """Everything, open like a loopback listener; `closed` is the same behind keys."""

    open: Caller
    closed: Caller
    work: Work
    fleet: Fleet
    journal: Journal
    keys: Keys
    identities: Identities
    deployments: Deployments
    interface: deployment.Deployment
    clock: FakeClock
    database: Database

    async def token(self, **scope: Any) -> str:
        """Make a registration token."""
        return str((await self.open.good("POST", "/api/v1/admin/agent-tokens", scope))["token"])

    async def agent(self, name: str = "agent-prod-01", **more: Any) -> "Agent":
        """Let an agent join."""
        body = {"name": name, "version": "1.0.0", "capabilities": ["docker", "compose"], **more}
        _, csr = new_csr()
        joined = await self.open.good(
            "POST",
            "/api/v1/agents/register",
            {**body, "csr": csr},
            headers={"x-agent-token": await self.token()},
        )
        return Agent(joined, self.open.with_certificate(joined["certificate"]["cert"]), name)

    async def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Wait until what is shown at a path is as it should be: nothing answers most frames of a stream."""
        async with asyncio.timeout(WAIT_S):
            while True:
                if holds(shown := await self.open.good("GET", path)):
                    return shown
                await asyncio.sleep(0.01)

    async def noted(self) -> None:
        """Write the signs of life that wait for their batch."""
        await self.work._signs.finish()

    async def operator(self, *scopes: Scope) -> Caller:
        """Make an API key and return a caller with it."""
        token = (await self.keys.create("test", scopes, None, LOCAL)).token
        return self.open.with_headers(authorization=f"Bearer {token}")


@dataclass(slots=True)
class Agent:
    """An agent that joined."""

    joined: dict[str, Any]
    caller: Caller
    name: str

    @property
    def id(self) -> str:
        return str(self.joined["agentId"])

    @property
    def path(self) -> str:
        return f"/api/v1/agents/{self.id}"

    async def beat(self, **body: Any) -> Any:
        """Send a heartbeat."""
        said = {"status": "healthy", "instanceId": "one", "tasks": [], **body}
        return await self.caller.good("POST", f"{self.path}/heartbeat", said)

    def stream(self) -> Any:
        """Open the task-stream."""
        return self.caller.stream(f"{self.path}/task-stream")


def new_csr() -> tuple[ec.EllipticCurvePrivateKey, str]:
    """Make a key and a CSR for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    MADE_KEYS.append(key)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return key, request.public_bytes(Encoding.PEM).decode()


def der(pem: str) -> bytes:
    """Return a certificate as it is signed."""
    return ssl.PEM_cert_to_DER_cert(pem)


@asynccontextmanager
async def running_machines(
    data_dir: Path, settings: Settings | None = None, database: Database | None = None
) -> AsyncIterator[Machines]:
    """Run the interface, and the coordinator's beside it, with a clock that stands still; on SQLite unless a
    database is given.
    """
    await asyncio.to_thread(data_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    settings, clock = replace(settings or Settings(), data_dir=data_dir), FakeClock()
    own = database is None
    database = database or await open_database("sqlite", data_dir=data_dir, settings=settings.database)
    journal = Journal(database, settings.journal, clock)
    keys = Keys(database, journal, settings.access, clock)
    fleet = Fleet(database, journal, settings.fleet, clock)
    work = Work(database, journal, fleet, settings.work, clock)
    identities = Identities(database, journal, settings.trust, data_dir, clock)
    deployments = Deployments(database, journal, fleet, identities, settings=settings.fleet, clock=clock)
    subjects = (keys, fleet, work, identities, deployments)
    for subject in subjects:
        await subject.start()
    secrets = Secrets(database, journal, load_key(data_dir / "secrets.key"), clock)
    machines = deployment.build(
        deployments=deployments,
        identities=identities,
        secrets=secrets,
        work=work,
        database=database,
        clock=clock,
        limits=settings.limits,
        work_settings=settings.work,
    )
    workers = coordinator.build(
        fleet=fleet,
        work=work,
        journal=journal,
        database=database,
        outbound=Outbound(settings.outbound),
        clock=clock,
        fleet_settings=settings.fleet,
        work_settings=settings.work,
        outbound_settings=settings.outbound,
    )
    upkeep = operations.build(
        fleet=fleet, work=work, journal=journal, keys=keys, clock=clock, levels=Levels(), meter=Meter()
    )
    served = (machines.interface, workers.interface, upkeep.interface)

    def gate(access: Access) -> Gate:
        return Gate(
            access,
            served,
            fallback=upkeep.interface.render_problem,
            authentication=Authentication(keys, settings.limits, clock),
            bodies=Bodies(settings.limits),
        )

    await machines.start()
    try:
        yield Machines(
            Caller(gate(Access("main", open=True, hosts=LOOPBACK_NAMES))),
            Caller(gate(Access("tls", open=False))),
            work,
            fleet,
            journal,
            keys,
            identities,
            deployments,
            machines,
            clock,
            database,
        )
    finally:
        await machines.stop(1.0)
        for subject in reversed(subjects):
            await subject.stop()
        await journal.stop()
        if own:
            await database.close()
