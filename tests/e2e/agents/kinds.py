"""The tasks of the campaign, and the evidence that each kind leaves outside of the product.

Commands and containers append a line to one file when they begin, commands another when they end, each with a
number drawn for the run, or the container's id: a second run of the same task cannot hide. Containers take
each other's place under a few names, so that replacing, adopting and rolling back are under way when
something is killed.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.agents.ssh_host import SshHost
from support.container_lab import Lab

AGENTS = ("agent-1", "agent-2")
SSH_SECRET = "deploy.key"
REGISTRY_SECRETS = {"registry.username": "lab.user", "registry.password": "lab.password"}
DIGEST = "sha256:" + "5e" * 32
COMMAND_S = (0.05, 1.5)
SERVICES = 3
"""Container names of each agent."""
UUID = "/proc/sys/kernel/random/uuid"


@dataclass(frozen=True, slots=True)
class Kinds:
    """Draws tasks for the machines at hand."""

    evidence: Path
    """A folder; its file `runs` gets the lines."""
    ssh: SshHost
    lab: Lab | None
    mark: str
    """Begins the names of this campaign's containers."""

    @property
    def runs(self) -> Path:
        """The lines of commands and containers: `begin KEY NUMBER`, `end KEY NUMBER`."""
        return self.evidence / "runs"

    def secrets(self) -> dict[str, str]:
        """Name the values that tasks refer to."""
        found = {SSH_SECRET: self.ssh.private_key}
        if self.lab is not None:
            found |= {"lab.user": self.lab.user, "lab.password": self.lab.password}
        return found

    def masked(self, said: Any) -> Any:
        """Hide the values of secrets, as the server does in whatever it is told."""
        text = json.dumps(said)
        for value in sorted(self.secrets().values(), key=len, reverse=True):
            text = text.replace(json.dumps(value)[1:-1], "***")
        return json.loads(text)

    def draw(self, chance: random.Random, key: str) -> tuple[dict[str, Any], bool]:
        """Draw a submission; tell also whether its task may be repeated."""
        kinds = [self.sticker, self.probe, self.command, self.command, self.file]
        if self.lab is not None:
            kinds.append(self.container)
        name = chance.choice(AGENTS)
        kind = chance.choice(kinds)
        body = {**kind(chance, key, name), "agent": name, "idempotencyKey": key, "timeout": 60}
        return body, body["taskType"] in ("sticker.write", "health.check")

    def sticker(self, chance: random.Random, key: str, name: str) -> dict[str, Any]:
        """Write a file that says who wrote it."""
        payload = {"path": f"{key}.json", "content": {"release": key, "digest": DIGEST}}
        return {"taskType": "sticker.write", "payload": payload}

    def probe(self, chance: random.Random, key: str, name: str) -> dict[str, Any]:
        """Look whether the SSH server listens."""
        return {"taskType": "health.check", "payload": {"tcp": {"port": self.ssh.port}}}

    def command(self, chance: random.Random, key: str, name: str) -> dict[str, Any]:
        """Run a command elsewhere that takes a while; its number is its output."""
        work_s = round(chance.uniform(*COMMAND_S), 3)
        command = (
            f"n=$(cat {UUID}); echo begin {key} $n >> {self.runs}; sleep {work_s}; "
            f"echo end {key} $n >> {self.runs}; echo $n"
        )
        return self._over_ssh("ssh.exec", {"command": command})

    def file(self, chance: random.Random, key: str, name: str) -> dict[str, Any]:
        """Put a file elsewhere."""
        return self._over_ssh("sftp.put", {"path": str(self.evidence / key), "content": key})

    def container(self, chance: random.Random, key: str, name: str) -> dict[str, Any]:
        """Start a container in the place of another."""
        assert self.lab is not None
        # Its own id: a container that comes back after a failed replacement is no second one.
        command = f"echo begin {key} $(hostname) >> /evidence/runs; exec sleep 3600"
        payload = {
            "image": self.lab.image,
            "name": f"{self.mark}-{name}-{chance.randrange(SERVICES)}",
            "command": ["/bin/sh", "-c", command],
            "volumes": [f"{self.evidence}:/evidence"],
            "network": "none",
            "stopTimeout": 0,
            "replace": True,
            "healthcheck": {"settle": 0.25},
        }
        task: dict[str, Any] = {"taskType": "docker.run", "payload": payload}
        if chance.random() < 0.5:
            task["credentials"] = {field: f"secret:{kept}" for field, kept in REGISTRY_SECRETS.items()}
        return task

    def _over_ssh(self, task_type: str, more: dict[str, Any]) -> dict[str, Any]:
        return {
            "taskType": task_type,
            "payload": {**self.ssh.machine, **more},
            "credentials": {"ssh.privateKey": f"secret:{SSH_SECRET}"},
        }


def sticker_says(home: Path, key: str) -> bool:
    """Tell whether a machine has the sticker of a submission, and it says so."""
    place = home / "stickers" / f"{key}.json"
    return place.exists() and json.loads(place.read_text())["release"] == key


def file_says(evidence: Path, key: str) -> bool:
    """Tell whether the file of a submission was put whole."""
    place = evidence / key
    return place.exists() and place.read_text() == key
