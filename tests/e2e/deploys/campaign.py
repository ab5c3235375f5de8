"""Forty operations on a real cluster, and a server that is killed in the middle of them.

Several instances of one application, each in a namespace of its own among objects that are not ours, are
brought from state to state by seeded orders; so there are as many operations under way as instances, and
more wait. Meanwhile the server is killed with SIGKILL at seeded moments and started again at once.
"""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.serving import NotReady, Server

from e2e.deploys import collect
from e2e.deploys.checker import ENDS
from e2e.deploys.evidence import OperationRow
from e2e.deploys.orders import FILES, Order, draw_orders
from e2e.kills.claim_worker import Wire
from support.application import write

START_LIMIT_S = 120.0
"""A machine that many tests share may take its time; a quiet one needs two seconds."""
FIRST_RELEASE_LIMIT_S = 200.0
LIMIT_S = 500.0
UNDER_WAY = frozenset({"running", "waiting"})
AT_WORK_S = (0.0, 0.8)
"""From the sight of an operation under way to the kill."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a campaign did, beside the evidence that it leaves."""

    kills: int
    cut_off: int
    """Operations that were begun more than once."""
    refused: Sequence[str]
    unfinished: Sequence[str]


class Campaign:
    """One campaign; `close` ends whatever is left."""

    def __init__(self, folder: Path, seed: int, kubeconfig: Path, namespaces: Sequence[str]) -> None:
        """`namespaces`: those of the instances."""
        self.chance = random.Random(seed)
        self.application = f"kills-{namespaces[0]}"
        self.instances = {f"i{number}": namespace for number, namespace in enumerate(namespaces)}
        settings: dict[str, object] = {
            "conductor.manifests": write(folder / "manifests", FILES),
            "conductor.application": self.application,
            "conductor.cluster": "kubeconfig",
            "conductor.kubeconfig": kubeconfig,
        }
        self.server = Server(folder / "data", settings=settings)
        self.orders: dict[str, Order] = {}
        self.acknowledged: dict[str, str] = {}
        self.refused: list[str] = []

    def run(self, operations: int, kills: int) -> Report:
        """Ask for so many operations, and kill so often until they have ended. The server goes on."""
        self.server.start(START_LIMIT_S)
        each = operations // len(self.instances)
        threads = [
            threading.Thread(target=self.ask, args=(instance, draw_orders(self.chance, instance, each)))
            for instance in self.instances
        ]
        for thread in threads:
            thread.start()
        done = self.kill_often([number * operations // (kills + 1) for number in range(kills)])
        for thread in threads:
            thread.join(LIMIT_S)
        unfinished = self.drain()
        cut_off = sum(one.attempt > 1 for one in self.all_operations())
        return Report(done, cut_off, self.refused, unfinished)

    def ask(self, instance: str, orders: Sequence[Order]) -> None:
        """Ask for the orders of an instance, one after the other, through every kill."""
        wire = Wire(self.server.url)
        self.post(wire, "/api/parameters/instances", {"name": instance})
        for order in orders:
            self.orders[order.note] = order
            body: dict[str, object] = {"services": list(order.services), "note": order.note}
            if order.kind == "rollback":
                # It puts parameters back when it runs, so nothing may be rendered after it.
                body["revision"] = order.revision
                self.wait_for_release(instance)
            else:
                document = {"global": {"namespace": self.instances[instance]}, "services": order.parameters}
                self.post(wire, f"/api/parameters?instance={instance}", document)
            path = f"/api/{order.kind}?instance={instance}&wait=false&deadlineSeconds=300"
            answer = self.post(wire, path, body)
            if "operation" in answer:
                self.acknowledged[answer["operation"]["id"]] = order.note
            time.sleep(0.01)

    def post(self, wire: Wire, path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        status, answer = wire.post(path, body)
        if not 200 <= status < 300 and status != 409:  # an instance may have been made before the kill
            self.refused.append(f"{path}: {status} {answer}")
        return answer

    def wait_for_release(self, instance: str) -> None:
        """Wait until the first release of an instance is there."""
        until = time.monotonic() + FIRST_RELEASE_LIMIT_S
        while time.monotonic() < until:
            if any(one.release for one in self.operations(instance)):
                return
            time.sleep(0.1)

    def kill_often(self, after: Sequence[int]) -> int:
        """Kill in the middle of operations, each time after so many have ended."""
        for ended in after:
            self.wait_for_work(ended)
            time.sleep(self.chance.uniform(*AT_WORK_S))
            self.server.kill()
            self.server.start(START_LIMIT_S)
        return len(after)

    def wait_for_work(self, ended: int) -> None:
        """Wait until so many operations have ended and one is under way, however slow the machine is."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            states = [one.state for one in self.all_operations()]
            if any(state in UNDER_WAY for state in states) and sum(map(ENDS.__contains__, states)) >= ended:
                return
            time.sleep(0.05)
        raise NotReady(f"no operation was begun within {LIMIT_S:.0f} s")

    def drain(self) -> list[str]:
        """Wait until every operation has ended; return what has not."""
        until = time.monotonic() + LIMIT_S
        while left := self.open_operations():
            if time.monotonic() > until:
                return [f"{one.id} is {one.state} after {LIMIT_S:.0f} s" for one in left]
            time.sleep(0.2)
        return []

    def open_operations(self) -> list[OperationRow]:
        return [one for one in self.all_operations() if one.state not in ENDS]

    def all_operations(self) -> list[OperationRow]:
        return [row for instance in self.instances for row in self.operations(instance)]

    def operations(self, instance: str) -> list[OperationRow]:
        """Read the operations of an instance; while the server is starting, again and again."""
        until = time.monotonic() + FIRST_RELEASE_LIMIT_S
        while True:
            try:
                return collect.operations(self.server, instance)
            except OSError as error:
                if time.monotonic() > until:
                    raise NotReady(f"the server gives no answer: {error}") from error
                time.sleep(0.05)

    def close(self) -> None:
        self.server.kill()
