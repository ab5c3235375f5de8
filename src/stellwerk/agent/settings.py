"""What an operator decides about one agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stellwerk.agent.executors.settings import ExecutorSettings

DEFAULT_DATA_DIR = Path("/var/lib/stellwerk-agent")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How the agent joins, what it takes on, and where it keeps what must survive a restart."""

    server: str
    """`https://HOST:PORT` of the control plane's TLS listener."""

    data_dir: Path
    """The agent's own folder (0700): identity, task journal, stickers, SSH keys."""

    name: str
    """Its name in the fleet; one that a token prescribes must be the same."""

    version: str = "0"

    token: str | None = field(default=None, repr=False)
    """Registration token; needed only until the agent has an identity."""

    token_file: Path | None = None
    """A file with the token, read again at each registration: a new token needs no restart."""

    ca_sha256: tuple[str, ...] = ()
    """Fingerprints (hex) of roots that may vouch for the server at first contact."""

    ca_file: Path | None = None
    """PEM bundle to trust instead. With neither, first contact trusts the roots of the system."""

    labels: Mapping[str, str] = field(default_factory=dict)

    capabilities: frozenset[str] | None = None
    """What it takes on of what it could do; None is all. A token may allow no more."""

    max_tasks: int = 2
    """Tasks at once. Two, because pulls and health gates mostly wait, and one that hangs should not block."""

    drain_s: float = 30.0
    """How long running tasks may go on after SIGTERM; the next process adopts what is not done then."""

    heartbeat_s: float = 30.0
    """Until the server says how often it wants to hear."""

    poll_s: float = 5.0
    """Between heartbeats that fetch tasks, while there is no task-stream; the server may say otherwise."""

    request_s: float = 20.0
    """Limit of one request. Above the server's slowest answer, below the heartbeat interval."""

    retry_first_s: float = 1.0
    retry_cap_s: float = 60.0
    """Pauses between attempts double from the first to the cap, with full jitter."""

    rejoin_pause_s: float = 300.0
    """Between attempts of an agent whose identity is refused and that has no token: someone has to act."""

    stream: bool = True
    """Whether to open a task-stream; without it tasks come with heartbeats alone."""

    keep_days: float = 7.0
    """How long settled tasks stay in the journal: longer than any late redelivery."""

    executors: ExecutorSettings | None = None
    """None takes the defaults, within `data_dir`."""
