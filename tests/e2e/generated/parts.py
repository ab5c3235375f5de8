"""Who sends generated requests where: every listener, and callers with other rights on each."""

import json
import re
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.serving import SecureServer
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.machines import new_csr

STREAMS = (
    "/events/stream",
    "/api/events/stream",
    "/api/operations/{id}/stream",
    "/api/v1/incident/session/{session_id}/stream",
)
"""They have tests of their own: most have no end, and a stream's schema is taken for that of each event."""
CONNECTOR = "^/(api/v1/)?connector/"
"""Operations that need a connector's token."""
MANIFESTS = Path(__file__).parents[3] / "examples" / "guestbook" / "manifests"
SETTINGS: dict[str, object] = {
    "log.format": "json",
    "conductor.cluster": "sandbox",
    "conductor.manifests": str(MANIFESTS),
    "conductor.wait_s": 0.02,
    # Whoever is refused thousands of times in a minute is to be told each time why.
    "limits.failed_logins_per_min": 1_000_000,
}


class ManyListeners(SecureServer):
    """One with every listener that there is, each on a free port."""

    listeners: dict[str, str]

    def command(self, ready_file: Path) -> list[str]:
        words = [word for word in super().command(ready_file) if word != "--no-compat-ports"]
        for name in ("coordinator", "conductor", "metrics"):
            words += ["--set", f"server.{name}_port=0"]
        return words

    def look_ready(self) -> bool:
        ready = super().look_ready()
        if ready:
            self.listeners = json.loads(self.ready_file.read_bytes())["listeners"]
        return ready

    def ask(self, path: str, body: object, key: str, **headers: str) -> Any:
        """POST what must be taken."""
        asked = urllib.request.Request(self.url + path, json.dumps(body).encode())
        shown = {"Authorization": f"Bearer {key}"} if key else {}
        asked.headers = {"Content-Type": "application/json", **shown, **headers}
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read())


@dataclass(frozen=True, slots=True)
class Caller:
    """What of a command makes requests those of one caller."""

    options: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    """Values that stand in for generated ones, as an agent's own id."""
    unchecked: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the campaign."""

    name: str
    examples: int
    """Of each operation and phase, at most."""
    seed: int
    only: str | None = None
    without: str = CONNECTOR
    closed: bool = False
    postgres: bool = False
    listener: str = "main"
    phases: str = "examples,coverage,fuzzing,stateful"
    come: Callable[[ManyListeners, str, Path], Caller] = lambda server, key, folder: Caller()
    """Makes the caller, given the first key (none on an open listener)."""

    def settings(self) -> dict[str, object]:
        return {**SETTINGS, "access.open_loopback": str(not self.closed).lower()}


def first_key(server: ManyListeners) -> str:
    """Return the key that a closed server printed at its first start."""
    (key,) = re.findall(r"Bootstrap API key \(shown once\): ([^\s\"]+)", server.running.output.read_text())
    return str(key)


def with_scopes(*scopes: str) -> Callable[[ManyListeners, str, Path], Caller]:
    """Come with a key of these scopes."""

    def come(server: ManyListeners, key: str, folder: Path) -> Caller:
        made = server.ask("/keys", {"name": "generated", "scopes": list(scopes)}, key)["key"]
        return Caller(["--header", f"Authorization: Bearer {made}"])

    return come


def with_connector_token(*capabilities: str) -> Callable[[ManyListeners, str, Path], Caller]:
    """Come with a connector's token; half of the time an agent that there is is meant."""

    def come(server: ManyListeners, key: str, folder: Path) -> Caller:
        agent = {"id": "hello", "base_url": "http://127.0.0.1:9/", "version": "1.0.0", "reasoners": []}
        server.ask("/api/v1/nodes/register", agent, key)
        asked = {"name": "generated", "capabilities": list(capabilities)}
        token = server.ask("/api/v1/traffic/tokens", asked, key)["token"]
        # A token may be shown in two headers; where a wrong one is generated, the right one is in the other.
        return Caller(["--header", f"X-Connector-Token: {token}"], {"path.id": "hello"}, "ignored_auth")

    return come


def with_certificate(server: ManyListeners, key: str, folder: Path) -> Caller:
    """Come as a deployment agent over TLS, with its certificate and its own id."""
    token = server.ask("/api/v1/admin/agent-tokens", {"name": "machine"}, key)["token"]
    private, csr = new_csr()
    body = {"name": "machine", "version": "1.0.0", "capabilities": ["docker"], "csr": csr}
    joined = server.ask("/api/v1/agents/register", body, key, **{"X-Agent-Token": token})
    pem = folder / "agent.pem"
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    pem.write_text(joined["certificate"]["cert"] + secret)
    options = ["--request-cert", str(pem), "--tls-verify", str(server.roots)]
    return Caller(options, {"path.id": quote(joined["agentId"])})


READS = ("fleet:read", "tasks:read", "services:read", "parameters:read", "incidents:read", "events:read")
WORKS = ("fleet:write", "tasks:work", "tasks:submit", "tasks:read")
DEPLOYS = ("services:admin", "parameters:write", "parameters:read", "events:read")
INVESTIGATES = ("incidents:investigate", "incidents:remediate", "incidents:read")

PARTS = [
    Part(
        "the local user, of agents and tasks",
        130,
        100,
        only="^/(agents|tasks|load-balancer|registry|keys|events)",
    ),
    Part("the local user, of machines", 130, 113, only="^/api/v1/(agents|tasks|admin)"),
    Part(
        "the local user, of calls and traffic",
        130,
        114,
        only="^/api/v1/(?!agents|tasks|admin|incident|connector)",
    ),
    Part("the local user, of services", 130, 115, only="^/(api/(?!v1/)|manifests)"),
    Part("the local user, of incidents", 130, 116, only="^/(api/v1/incident|config)"),
    Part("the local user, everything", 40, 101),
    Part("the local user, everything, on PostgreSQL", 25, 117, postgres=True),
    Part("nobody", 20, 102, closed=True),
    Part("a key that only reads", 40, 103, closed=True, come=with_scopes(*READS)),
    Part("a worker's key", 40, 104, closed=True, come=with_scopes(*WORKS)),
    Part("a key that deploys", 40, 105, closed=True, come=with_scopes(*DEPLOYS)),
    Part("a key that investigates", 40, 106, closed=True, come=with_scopes(*INVESTIGATES)),
    Part(
        "a connector, all capabilities",
        100,
        107,
        only=CONNECTOR,
        without="^$",
        come=with_connector_token("reasoners:write", "versions:write", "restart", "status:read"),
    ),
    Part(
        "a connector that reads, and keys beside it",
        50,
        108,
        only=CONNECTOR,
        without="^$",
        closed=True,
        come=with_connector_token("versions:read"),
    ),
    Part("an agent's certificate", 150, 109, only="^/api/v1/agents", listener="tls", come=with_certificate),
    Part(
        "the coordinator's own port",
        60,
        110,
        only="^/(agents|tasks|load-balancer|registry|health$)",
        listener="coordinator",
    ),
    Part(
        "the conductor's own port",
        60,
        111,
        only="^/(api/(?!v1/)|manifests|healthz|readyz)",
        listener="conductor",
    ),
    Part("the metrics' own port", 50, 112, only="^/metrics", listener="metrics"),
]
SLICE = Part("everything, a little", 3, 1, phases="examples,fuzzing")
"""Without what takes most of the time: every boundary of every field, and sequences."""
