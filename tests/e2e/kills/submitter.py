"""Submits without pause through kills of the server, and notes every acknowledged task before it goes on."""

import random
import threading
import time
from typing import Any

from e2e.kills.claim_worker import Wire
from e2e.kills.ledger import Acknowledged, Ledger

SHORT_S = (0.001, 0.03)
LONG_S = (0.2, 0.5)
LONG_SHARE = 0.1
ONCE_SHARE = 0.4
OWN_ID_SHARE = 0.5
TWICE_SHARE = 0.1
PAUSE_S = (0.005, 0.04)


class Submitters:
    """Some threads; every intent has a key, and is repeated with it until there is an answer.

    What is submitted, and where, is a subclass's to change.
    """

    path = "/tasks/submit"
    pause_s = PAUSE_S

    def __init__(self, server: str, ledger: Ledger, seed: int, threads: int = 3) -> None:
        self.server = server
        self.ledger = ledger
        self.writing = threading.Lock()
        self.stopping = threading.Event()
        self.refused: list[str] = []
        self.acknowledged = 0
        self.waits_s: list[float] = []
        """How long each submission took until it was acknowledged, through all its repetitions."""
        self.threads = [
            threading.Thread(target=self.submit_all, args=(f"{seed}-{number}",), daemon=True)
            for number in range(threads)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Let every thread finish its intent: a submission under way is repeated until it is acknowledged."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
            if thread.is_alive():
                self.refused.append("a submission was still without an answer 30 s after the last kill")

    def submit_all(self, name: str) -> None:
        chance = random.Random(name)
        wire = Wire(self.server)
        number = 0
        while not self.stopping.is_set():
            key = f"intent-{name}-{number}"
            number += 1
            body, repeatable = self.draw(chance, key)
            task_id = ""
            for _ in range(2 if chance.random() < TWICE_SHARE else 1):
                began = time.monotonic()
                status, answer = wire.post(self.path, body)
                self.waits_s.append(time.monotonic() - began)
                if not 200 <= status < 300:
                    self.refused.append(f"{key}: {status} {answer}")
                    continue
                task_id = answer.get("task_id") or answer["taskId"]
                with self.writing:
                    self.ledger.write(Acknowledged(key, task_id, repeatable))
                    self.acknowledged += 1
            if task_id:
                self.submitted(wire, chance, task_id)
            time.sleep(chance.uniform(*self.pause_s))

    def draw(self, chance: random.Random, key: str) -> tuple[dict[str, Any], bool]:
        """Draw a submission; tell also whether its task is repeatable."""
        body = submission(chance, key)
        return body, bool(body["repeatable"])

    def submitted(self, wire: Wire, chance: random.Random, task_id: str) -> None:
        """Do what follows an acknowledged submission."""


def submission(chance: random.Random, key: str) -> dict[str, object]:
    """Draw a task: its length, whether it is repeatable, and by what its intent is known."""
    work_s = chance.uniform(*(LONG_S if chance.random() < LONG_SHARE else SHORT_S))
    body: dict[str, object] = {
        "task_data": {"task_type": "kills", "work_s": round(work_s, 4)},
        "requirements": {"capabilities": ["kills"]},
        "priority": chance.choice(["urgent", "normal", "low"]),
        "repeatable": chance.random() >= ONCE_SHARE,
        "max_attempts": 50,
    }
    body["task_id" if chance.random() < OWN_ID_SHARE else "idempotency_key"] = key
    return body
