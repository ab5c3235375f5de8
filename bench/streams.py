"""Is many deployment agents at once, each on a WebSocket over TLS with its own certificate.

`python -m bench.streams` reads a `StreamPlan` as one JSON line from stdin, prints `ready` when all are
connected, completes every task in the turn in which it arrives until stdin is closed, and prints a
`StreamResult`.
"""

import asyncio
import os
import sys
import time
from array import array

import msgspec
import uvloop

from bench.load import Tls
from bench.wire import CLOSE, PING, PONG, TEXT, AgentSocket, give_up
from bench.worker import quantile

CONNECTS_AT_ONCE = 20


class StreamPlan(msgspec.Struct, frozen=True):
    """Which agents to be, in the order of the pairs of `tls`."""

    host: str
    port: int
    agents: list[str]
    tls: Tls


class StreamResult(msgspec.Struct, frozen=True):
    """What was done. Latencies are milliseconds from the sending of a submission."""

    assigned: int
    recorded: int
    lost: int
    connected_s: float
    p50_ms: float
    p99_ms: float
    complaint: str = ""


class Payload(msgspec.Struct):
    sent_us: str = "0"


class Assigned(msgspec.Struct, rename="camel"):
    task_id: str
    lease: int
    payload: Payload


class Frame(msgspec.Struct):
    type: str
    task: Assigned | None = None
    message: str = ""


decode = msgspec.json.Decoder(Frame | list[Frame]).decode


class Agents:
    """All agents of one plan."""

    def __init__(self, plan: StreamPlan) -> None:
        self.plan = plan
        self.latencies = array("d")
        self.recorded = 0
        self.lost = 0
        self.complaint = ""

    def work(self, stream: "TaskStream", frames: list[Frame]) -> None:
        now_us = time.time() * 1e6
        for frame in frames:
            if frame.type == "task_assigned" and frame.task is not None:
                task = frame.task
                self.latencies.append((now_us - int(task.payload.sent_us)) / 1e3)
                done = {"type": "task_completed", "taskId": task.task_id, "lease": task.lease}
                stream.send({**done, "success": True, "result": {"ok": True}})
            elif frame.type == "task_recorded":
                self.recorded += 1
            elif frame.type == "error":
                self.complaint = self.complaint or frame.message

    def ended(self) -> None:
        self.lost += 1

    async def run(self) -> StreamResult:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(give_up)
        contexts = self.plan.tls.contexts()
        turn = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def connect(number: int) -> None:
            path = f"/api/v1/agents/{self.plan.agents[number]}/task-stream"
            async with turn:
                _, socket = await loop.create_connection(
                    lambda: TaskStream(path, self),
                    self.plan.host,
                    self.plan.port,
                    ssl=contexts[number],
                )
                while not socket.open:  # noqa: ASYNC110 - the protocol has no event, and this is not measured
                    await asyncio.sleep(0.001)

        began = time.perf_counter()
        await asyncio.gather(*map(connect, range(len(self.plan.agents))))
        connected_s = time.perf_counter() - began
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.buffer.read)
        return StreamResult(
            assigned=len(self.latencies),
            recorded=self.recorded,
            lost=self.lost,
            connected_s=connected_s,
            p50_ms=quantile(self.latencies, 0.5),
            p99_ms=quantile(self.latencies, 0.99),
            complaint=self.complaint,
        )


class TaskStream(AgentSocket):
    """One agent's connection."""

    def __init__(self, path: str, agents: Agents) -> None:
        super().__init__(path, lambda socket, frames: None, agents.ended)
        self.agents = agents

    def take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            frames = decode(payload)
            self.agents.work(self, frames if isinstance(frames, list) else [frames])
        elif opcode == PING:
            self.write(PONG, payload)
        elif opcode == CLOSE:
            self.transport.close()


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=StreamPlan)

    async def run() -> None:
        result = await Agents(plan).run()
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()
        os._exit(0)

    uvloop.run(run())


if __name__ == "__main__":
    main()
