"""Rounds of kills on agents in mid-task: server, two agents, the relays between them; then the drain.

A round begins when every agent has brought a task to its end since the last one and something is running. It
kills the server or an agent with SIGKILL, or makes a connection fail, at a seeded moment, and brings it back
after a seeded while; one in four fails a second thing before the first is back. Leases are short, so that
what was lost with an agent is known within the campaign; downtimes are mostly shorter, some longer.
"""

import random
import time
from collections import Counter
from pathlib import Path

from bench.seeds import call
from bench.serving import NotReady

from e2e.agents import evidence
from e2e.agents.kinds import AGENTS, REGISTRY_SECRETS, Kinds
from e2e.agents.plane import Machine, Plane
from e2e.agents.ssh_host import SshHost
from e2e.kills.campaign import Report, drain
from e2e.kills.claim_worker import Wire
from e2e.kills.ledger import Ledger
from e2e.kills.submitter import Submitters
from support.container_lab import Lab

SETTINGS: dict[str, object] = {
    "work.ack_deadline_s": 3,
    "work.lease_s": 6,
    "work.retry_base_s": 0.1,
    "work.retry_cap_s": 0.5,
    "work.sweep_s": 0.2,
    "work.max_attempts": 50,
    "work.flush_s": 0.1,
    "fleet.heartbeat_interval_s": 1,
}
VICTIMS = ("server", "agent", "connection")
SECOND_SHARE = 0.25
CANCEL_SHARE = 0.04
DOWN_S = (0.0, 1.2)
LONG_DOWN_S = (6.5, 8.0)
LONG_SHARE = 0.06
READY_LIMIT_S = 120.0
"""Generous, as all limits here: a machine that is short of processors is no fault."""
FLOW_LIMIT_S = 120.0
DRAIN_LIMIT_S = 120.0
SETTLE_LIMIT_S = 60.0


class Tasks(Submitters):
    """Submits to the agents, and cancels some of it."""

    path = "/api/v1/tasks"
    pause_s = (0.1, 0.5)

    def __init__(self, plane: Plane, ledger: Ledger, seed: int, kinds: Kinds) -> None:
        self.draw = kinds.draw  # type: ignore[method-assign]  # the kinds do it
        self.cancelled: set[str] = set()
        super().__init__(plane.url, ledger, seed, threads=2)

    def submitted(self, wire: Wire, chance: random.Random, task_id: str) -> None:
        if chance.random() < CANCEL_SHARE:
            time.sleep(chance.uniform(0.0, 1.0))
            self.cancelled.add(task_id)
            wire.post(f"/api/v1/tasks/{task_id}/cancel", {})


class Campaign:
    """Everything that one campaign starts; `close` ends whatever is left."""

    def __init__(self, folder: Path, seed: int, lab: Lab | None) -> None:
        self.folder = folder
        self.seed = seed
        self.chance = random.Random(seed)
        self.plane = Plane(folder / "data", settings=SETTINGS)
        (folder / "evidence").mkdir()
        self.kinds = Kinds(folder / "evidence", SshHost(folder / "ssh"), lab, f"kills-{seed}")
        options = ["--max-tasks", "4"]
        if lab is not None:
            options += ["--docker-host", lab.docker_host, "--bind-root", str(self.kinds.evidence)]
        self.machines = [Machine(self.plane, name, folder, list(options)) for name in AGENTS]
        self.kills: Counter[str] = Counter()
        self.cancelled: set[str] = set()

    @property
    def acknowledged_file(self) -> Path:
        return self.folder / "acknowledged.jsonl"

    def run(self, rounds: int) -> Report:
        """Kill through the rounds, wait until all is finished and settled, stop the agents."""
        self.prepare()
        tasks = Tasks(self.plane, Ledger(self.acknowledged_file), self.seed, self.kinds)
        self.cancelled = tasks.cancelled
        for number in range(rounds):
            self.wait_for_flow()
            self.one_round(VICTIMS[number % len(VICTIMS)])
        self.plane.wait_ready(READY_LIMIT_S)
        tasks.stop()
        undrained = drain(self.plane, DRAIN_LIMIT_S) or self.settle()
        for machine in self.machines:
            if status := machine.stop():
                tasks.refused.append(f"{machine.name} ended with status {status}")
        return Report(rounds, self.kills, tasks.refused, undrained)

    def prepare(self) -> None:
        """Start server and agents; bring the image onto the engine, so that tasks need not pull it."""
        self.plane.start(READY_LIMIT_S)
        for name, value in self.kinds.secrets().items():
            call(self.plane, "PUT", f"/api/v1/admin/secrets/{name}", {"value": value})
        for machine in self.machines:
            machine.join()
        for name in AGENTS:
            self.ended({"agent": name, **self.kinds.probe(self.chance, "", name)})
        if (lab := self.kinds.lab) is not None:
            credentials = {field: f"secret:{name}" for field, name in REGISTRY_SECRETS.items()}
            pull = {"agent": AGENTS[0], "taskType": "docker.pull", "payload": {"image": lab.image}}
            self.ended({**pull, "credentials": credentials})

    def ended(self, task: dict[str, object]) -> None:
        """Submit a task and wait until it has succeeded."""
        until = time.monotonic() + FLOW_LIMIT_S
        while True:
            try:
                done = call(self.plane, "POST", "/api/v1/tasks?mode=sync&wait=30", task)
            except OSError as error:
                # Its agent has not joined yet.
                if time.monotonic() > until:
                    raise NotReady(f"{task['agent']} does not join: {error}") from error
                time.sleep(0.1)
                continue
            if done["status"] != "succeeded":
                raise NotReady(f"the first task did not succeed: {done}")
            return

    def wait_for_flow(self) -> None:
        """Let a round begin when every agent is at work again and something runs."""
        self.plane.wait_ready(READY_LIMIT_S)
        before = [evidence.settled(machine) for machine in self.machines]
        until = time.monotonic() + FLOW_LIMIT_S
        while not (self.all_settled_more_than(before) and self.running()):
            if time.monotonic() > until:
                ends = "\n".join(
                    machine.process.log_end(1500) for machine in self.machines if machine.process
                )
                raise NotReady(f"nothing flows after {FLOW_LIMIT_S:.0f} s: {before}\n{ends}")
            time.sleep(0.05)

    def all_settled_more_than(self, before: list[int]) -> bool:
        now = [evidence.settled(machine) for machine in self.machines]
        return all(settled > known for settled, known in zip(now, before, strict=True))

    def running(self) -> bool:
        """Tell whether a task is being worked on."""
        return bool(call(self.plane, "GET", "/api/v1/tasks?status=running&limit=1"))

    def one_round(self, victim: str) -> None:
        time.sleep(self.chance.uniform(0.0, 0.8))
        first = self.fail(victim)
        if self.chance.random() < SECOND_SHARE:
            second = self.chance.choice([each for each in VICTIMS if each != victim])
            time.sleep(self.chance.uniform(0.0, 0.5))
            later = self.fail(second)
            self.wait_down()
            later()
        self.wait_down()
        first()

    def wait_down(self) -> None:
        long = self.chance.random() < LONG_SHARE
        time.sleep(self.chance.uniform(*(LONG_DOWN_S if long else DOWN_S)))

    def fail(self, victim: str) -> "evidence.Mend":
        """Let one part fail; return what brings it back."""
        self.kills[victim] += 1
        machine = self.chance.choice(self.machines)
        match victim:
            case "server":
                self.plane.kill()
                return self.plane.launch
            case "agent":
                machine.kill()
                return machine.start
            case _:
                way = self.chance.choice(["cut", "deafen", "take_down"])
                getattr(machine.relay, way)()
                return machine.relay.mend

    def settle(self) -> str:
        """Wait until the agents know that the server knows; otherwise say what is left."""
        until = time.monotonic() + SETTLE_LIMIT_S
        while left := [row for row in self.journals() if row.state != "settled"]:
            if time.monotonic() > until:
                return f"agents still hold {left}"
            time.sleep(0.1)
        return ""

    def journals(self) -> list[evidence.JournalRow]:
        """Read what the agents remember, while they work even."""
        return [row for machine in self.machines for row in evidence.journal(machine)]

    def close(self) -> None:
        for machine in self.machines:
            machine.close()
        self.plane.kill()
        self.kinds.ssh.close()
