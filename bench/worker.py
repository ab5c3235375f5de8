"""Works off tasks as fast as the wire allows, from a process of its own.

`python -m bench.worker` reads a `WorkPlan` as one JSON line from stdin, prints `ready` when every agent is
welcomed, then ends when `expect` tasks are durably settled or stdin is closed, and prints a `WorkResult`.

A task is completed in the same turn in which it arrives: one array frame answers one message. It counts as
done when the server has said `task_settled`, which it says after the commit.
"""

import asyncio
import os
import resource
import sys
import time
from array import array
from collections import Counter
from datetime import datetime

import msgspec
import uvloop

from bench.wire import AgentSocket, ServerFrame, give_up

CONNECTS_AT_ONCE = 50


class WorkPlan(msgspec.Struct, frozen=True):
    """Which agents to be; all are registered already."""

    host: str
    port: int
    agents: list[str]
    capacity: int
    """Tasks at once an agent."""
    expect: int = 0
    """Settled tasks after which to end; 0 waits for the end of stdin."""
    patience_s: float = 60.0
    """End also when nothing was settled for so long while tasks are expected."""
    latencies: bool = False
    """Record how long ago each arriving task was sent (`task_data.sent_us`) and accepted (`submitted_at`)."""


class WorkResult(msgspec.Struct, frozen=True):
    """What was done. `last_settled_us` is of the monotonic clock, latencies are microseconds."""

    settled: int
    states: dict[str, int]
    assigned: int
    lost_sockets: int
    last_settled_us: int
    sent_p50_us: float = 0.0
    sent_p99_us: float = 0.0
    accepted_p50_us: float = 0.0
    accepted_p99_us: float = 0.0
    complaint: str = ""
    """The first `error` or `lease_lost` frame."""


class Stamped(msgspec.Struct):
    sent_us: str = "0"


class Worker:
    """All agents of one plan."""

    def __init__(self, plan: WorkPlan) -> None:
        self.plan = plan
        self.welcomed = 0
        self.assigned = 0
        self.states: Counter[str] = Counter()
        self.settled = 0
        self.last_settled = 0.0
        self.lost = 0
        self.complaint = ""
        self.sent = array("d")
        self.accepted = array("d")
        self.all_welcomed = asyncio.Event()
        self.finished = asyncio.Event()

    def heard(self, socket: AgentSocket, frames: list[ServerFrame]) -> None:
        completions = []
        for frame in frames:
            if frame.type == "task_assigned":
                self.assigned += 1
                if self.plan.latencies:
                    self.record(frame)
                completions.append(
                    {
                        "type": "complete",
                        "task_id": frame.task_id,
                        "lease": frame.lease,
                        "result": {"ok": True},
                    }
                )
            elif frame.type == "task_settled":
                self.states[frame.state] += 1
                self.settled += 1
                self.last_settled = time.perf_counter()
                if self.plan.expect and self.settled >= self.plan.expect:
                    self.finished.set()
            elif frame.type == "welcome":
                self.welcomed += 1
                if self.welcomed == len(self.plan.agents):
                    self.all_welcomed.set()
            elif frame.type in ("error", "lease_lost") and not self.complaint:
                self.complaint = f"{frame.type} {frame.task_id}: {frame.detail}"
        if completions:
            socket.send(completions if len(completions) > 1 else completions[0])

    def record(self, frame: ServerFrame) -> None:
        now = time.time()
        stamp = int(msgspec.json.decode(frame.task_data, type=Stamped).sent_us)
        if stamp:
            self.sent.append(now * 1e6 - stamp)
        self.accepted.append((now - datetime.fromisoformat(frame.submitted_at).timestamp()) * 1e6)

    def socket_ended(self) -> None:
        self.lost += 1

    async def run(self) -> WorkResult:
        plan = self.plan
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(give_up)
        for first in range(0, len(plan.agents), CONNECTS_AT_ONCE):
            await asyncio.gather(*map(self.connect, plan.agents[first : first + CONNECTS_AT_ONCE]))
        await asyncio.wait_for(self.all_welcomed.wait(), 60)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await self.until_the_end()
        return self.result()

    async def connect(self, agent: str) -> None:
        path = f"/agents/{agent}/ws?max_concurrency={self.plan.capacity}"
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: AgentSocket(path, self.heard, self.socket_ended), self.plan.host, self.plan.port
        )

    async def until_the_end(self) -> None:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, sys.stdin.buffer.read).add_done_callback(lambda _: self.finished.set())
        seen = -1
        while not self.finished.is_set():
            if self.plan.expect and seen == self.settled and self.settled:
                return
            seen = self.settled
            try:
                await asyncio.wait_for(self.finished.wait(), self.plan.patience_s)
            except TimeoutError:
                continue

    def result(self) -> WorkResult:
        return WorkResult(
            settled=self.settled,
            states=dict(self.states),
            assigned=self.assigned,
            lost_sockets=self.lost,
            last_settled_us=int(self.last_settled * 1e6),
            sent_p50_us=quantile(self.sent, 0.5),
            sent_p99_us=quantile(self.sent, 0.99),
            accepted_p50_us=quantile(self.accepted, 0.5),
            accepted_p99_us=quantile(self.accepted, 0.99),
            complaint=self.complaint,
        )


def quantile(values: "array[float]", share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard) if soft != hard else (soft, hard))
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkPlan)

    async def run() -> None:
        result = await Worker(plan).run()
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()
        # The thread that reads stdin would keep the process: it has nothing left to say.
        os._exit(0)

    uvloop.run(run())


if __name__ == "__main__":
    main()
