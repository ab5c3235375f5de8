"""A worker on nothing but HTTP and the standard library: claims, starts, works, completes: `SERVER AGENT
LEDGER`.

It shares no code with the product, so it also shows that the wire alone is enough. A request whose answer
was lost is sent again until there is an answer: acknowledging and completing are idempotent.
"""

import http.client
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from e2e.kills.ledger import Execution, Ledger

HANDS = 6
RETRY_S = 0.1
BEAT_S = 0.7


class Wire:
    """One keep-alive connection that is made anew after every failure."""

    def __init__(self, server: str) -> None:
        self.address = urlsplit(server).netloc
        self.connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Send until there is an answer that is not 5xx."""
        while True:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(self.address, timeout=10)
                headers = {"Content-Type": "application/json"}
                self.connection.request("POST", path, json.dumps(body), headers)
                answer = self.connection.getresponse()
                decoded = json.loads(answer.read())
                if answer.status < 500:
                    return answer.status, decoded
            except (OSError, http.client.HTTPException, ValueError):
                self.connection = None
            time.sleep(RETRY_S)


class ClaimWorker:
    """One agent with several hands."""

    def __init__(self, server: str, agent: str, ledger: Ledger) -> None:
        self.server = server
        self.agent = agent
        self.ledger = ledger
        # An instance is one running process: its heartbeats must not keep alive what its predecessor held.
        self.me = {"agent_id": agent, "instance_id": uuid4().hex}

    def run(self) -> None:
        registration = {**self.me, "agent_type": "worker", "capabilities": ["kills"]}
        status, answer = Wire(self.server).post("/agents/register", registration)
        if status != 200:
            raise SystemExit(f"cannot register: {status} {answer}")
        for _ in range(HANDS):
            threading.Thread(target=self.work_on, daemon=True).start()
        wire = Wire(self.server)
        while True:
            wire.post(f"/agents/{self.agent}/heartbeat", {"instance_id": self.me["instance_id"]})
            time.sleep(BEAT_S)

    def work_on(self) -> None:
        wire = Wire(self.server)
        while True:
            status, answer = wire.post("/tasks/claim", {**self.me, "limit": 1, "wait_s": 1})
            for task in answer["tasks"] if status == 200 else ():
                self.execute(wire, task)
            if status != 200:
                time.sleep(RETRY_S)

    def execute(self, wire: Wire, task: dict[str, Any]) -> None:
        path = f"/tasks/{task['task_id']}"
        mine = {**self.me, "lease": task["lease"]}
        status, _ = wire.post(f"{path}/acknowledge", mine)
        if status != 200:
            return
        nonce = uuid4().hex
        self.note("begin", task, nonce)
        time.sleep(task["task_data"]["work_s"])
        self.note("end", task, nonce)
        status, _ = wire.post(f"{path}/complete", {**mine, "result": {"nonce": nonce}})
        if status == 200:
            self.note("settled", task, nonce)

    def note(self, what: Any, task: dict[str, Any], nonce: str) -> None:
        self.ledger.write(Execution(what, task["task_id"], task["attempt"], nonce, self.agent))


def main() -> None:
    server, agent, ledger_file = sys.argv[1:]
    ClaimWorker(server, agent, Ledger(Path(ledger_file))).run()


if __name__ == "__main__":
    main()
