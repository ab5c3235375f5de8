"""Rounds of kills on one data directory: server, three workers, submitters; then the drain.

A round lasts two to three seconds and kills the server at least once and a worker at least once, at
seeded moments 0.3 to 1 s apart, each by its pid with SIGKILL; what was killed is started again at once. A
kill may hit a server that is still starting. Leases and graces are short, so that what a dead worker held
comes back within the campaign.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.seeds import call
from bench.serving import NotReady, Server

from e2e.kills.ledger import Ledger
from e2e.kills.submitter import Submitters
from e2e.kills.workers import WORKERS, Workers

SETTINGS: dict[str, object] = {
    "work.ack_deadline_s": 2,
    "work.lease_s": 3,
    "work.reconnect_grace_s": 1.5,
    "work.retry_base_s": 0.1,
    "work.retry_cap_s": 0.5,
    "work.sweep_s": 0.2,
    "fleet.heartbeat_interval_s": 1,
}
DRAIN_LIMIT_S = 40.0
TASKS_OF_A_ROUND = 20
WORK_LIMIT_S = 20.0
UNFINISHED = ("queued", "leased", "running", "cancelling")


@dataclass(frozen=True, slots=True)
class Report:
    """What a campaign did, beside the evidence that it leaves."""

    rounds: int
    kills: Counter[str]
    refused: Sequence[str]
    undrained: str


class Campaign:
    """Everything that one campaign starts; `close` ends whatever is left."""

    def __init__(self, folder: Path, seed: int, database: str | None = None) -> None:
        self.folder = folder
        self.seed = seed
        self.chance = random.Random(seed)
        self.server = Server(folder / "data", settings=SETTINGS, database=database)
        self.workers = Workers(folder)
        self.kills: Counter[str] = Counter()

    @property
    def acknowledged_file(self) -> Path:
        return self.folder / "acknowledged.jsonl"

    def run(self, rounds: int) -> Report:
        """Kill through the rounds, wait until all is finished, stop the workers. The server goes on."""
        self.server.start()
        self.workers.start_all(self.server.url)
        submitters = Submitters(self.server.url, Ledger(self.acknowledged_file), self.seed)
        for _ in range(rounds):
            self.wait_for_work(submitters)
            self.one_round()
        self.server.wait_ready()
        submitters.stop()
        undrained = drain(self.server, DRAIN_LIMIT_S)
        self.workers.stop()
        return Report(rounds, self.kills, submitters.refused, undrained)

    def wait_for_work(self, submitters: Submitters) -> None:
        """Let a round begin under load, however slow the machine is."""
        self.server.wait_ready()
        enough = submitters.acknowledged + TASKS_OF_A_ROUND
        limit = time.monotonic() + WORK_LIMIT_S
        while submitters.acknowledged < enough:
            if time.monotonic() > limit:
                raise NotReady(f"fewer than {TASKS_OF_A_ROUND} submissions in {WORK_LIMIT_S:.0f} s")
            time.sleep(0.02)

    def one_round(self) -> None:
        victims = ["server", self.chance.choice(list(WORKERS))]
        victims += self.chance.choices(["server", *WORKERS], k=2)
        self.chance.shuffle(victims)
        for victim in victims:
            time.sleep(self.chance.uniform(0.3, 1.0))
            self.kill(victim)

    def kill(self, victim: str) -> None:
        self.kills["server" if victim == "server" else "worker"] += 1
        if victim == "server":
            if self.chance.random() < 0.8:
                self.server.wait_ready()
            else:
                self.kills["server while starting or at work"] += 1
            self.server.kill()
            self.server.launch()
        else:
            self.workers.kill(victim)
            self.workers.start(victim)

    def close(self) -> None:
        self.workers.close()
        self.server.kill()


def drain(server: Server, limit_s: float) -> str:
    """Wait until every task is finished; otherwise say what is left."""
    until = time.monotonic() + limit_s
    while True:
        left = {state: some(server, state) for state in UNFINISHED}
        if not any(left.values()):
            return ""
        if time.monotonic() > until:
            return f"unfinished after {limit_s:.0f} s: {left}"
        time.sleep(0.2)


def some(server: Server, state: str) -> list[str]:
    """Return some tasks in a state."""
    page = call(server, "GET", f"/tasks?state={state}&limit=5")
    return [task["task_id"] for task in page["tasks"]]
