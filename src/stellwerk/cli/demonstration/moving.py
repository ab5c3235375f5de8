"""The demo's second part: two versions behind one name, and traffic that moves from one to the other.

Callers call without a pause while the weights change; then the old version is told to end. No call may fail.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stellwerk.cli.demonstration.node import AGENT, FUNCTION
from stellwerk.cli.demonstration.processes import Child, ProcessDied, start_module
from stellwerk.cli.demonstration.view import View

OLD, NEW = "1.0.0", "2.0.0"
STEPS: tuple[tuple[int, int], ...] = ((900, 0), (900, 100), (500, 500), (0, 900))
"""Weights of the old and the new version, one after the other."""
STEP_CALLS = 200
"""Calls of one step: enough to see tenths."""
STEP_S = 5.0
"""A step takes no longer, on however slow a machine."""
CALLERS = 8
JOIN_S = 20.0


@dataclass
class Step:
    """Calls that were begun while the weights stood so."""

    weights: tuple[int, int]
    calls: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    @property
    def total(self) -> int:
        return self.calls.total() + self.failed


@dataclass
class Moved:
    """What came of all calls."""

    steps: list[Step] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return sum(step.total for step in self.steps)

    @property
    def failed(self) -> int:
        return sum(step.failed for step in self.steps)


async def move_traffic(url: str, folder: Path, view: View) -> Moved:
    """Run it. Raises ProcessDied when an agent does not come up."""
    moved = Moved()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(url))
        old = await _start(stack, session, folder, url, OLD)
        new = await _start(stack, session, folder, url, NEW)
        view.say(f"two versions of {AGENT}: {OLD} (process {old.pid}), {NEW} (process {new.pid})")
        await _weigh(session, STEPS[0])
        moved.steps.append(Step(STEPS[0]))
        stopping = asyncio.Event()
        callers = [asyncio.create_task(_call(session, moved, stopping)) for _ in range(CALLERS)]
        try:
            await _called(moved.steps[-1])
            for weights in STEPS[1:]:
                await _weigh(session, weights)
                moved.steps.append(Step(weights))
                await _called(moved.steps[-1])
            await old.stop()
            view.say(f"{OLD} has ended; {NEW} has all the traffic")
        finally:
            stopping.set()
            await asyncio.gather(*callers)
    return moved


async def _start(
    stack: AsyncExitStack, session: aiohttp.ClientSession, folder: Path, url: str, version: str
) -> Child:
    child = await start_module(f"node-{version}", folder, "stellwerk.cli.demonstration.node", url, version)
    stack.push_async_callback(child.stop)
    async with asyncio.timeout(JOIN_S):
        while not await _is_active(session, version):
            if not child.alive:
                raise ProcessDied(f"the agent {version} did not start:\n{child.last_words()}")
            await asyncio.sleep(0.05)
    return child


async def _is_active(session: aiohttp.ClientSession, version: str) -> bool:
    async with session.get(f"/api/v1/nodes/{AGENT}") as answer:
        shown = (await answer.json()).get("instances", ())
    return any(one["version"] == version and one["health_status"] == "active" for one in shown)


async def _weigh(session: aiohttp.ClientSession, weights: tuple[int, int]) -> None:
    body = {"weights": dict(zip((OLD, NEW), weights, strict=True))}
    async with session.put(f"/api/v1/traffic/reasoners/{AGENT}/weights", json=body) as answer:
        answer.raise_for_status()


async def _called(step: Step) -> None:
    """Wait until a step has had its calls, or its time is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + STEP_S
    while step.total < STEP_CALLS:
        if loop.time() > until:
            return
        await asyncio.sleep(0.01)


async def _call(session: aiohttp.ClientSession, moved: Moved, stopping: asyncio.Event) -> None:
    number = 0
    while not stopping.is_set():
        step, number = moved.steps[-1], number + 1
        body = {"input": {"train": number}}
        async with session.post(f"/api/v1/execute/{AGENT}.{FUNCTION}", json=body) as answer:
            result = (await answer.json()).get("result")
        if answer.status == 200 and result["train"] == number:
            step.calls[answer.headers["X-Routed-Version"]] += 1
        else:
            step.failed += 1


def print_moved(console: Console, moved: Moved) -> None:
    """Print who got which calls."""
    table = Table(
        f"weights {OLD} : {NEW}", f"calls of {OLD}", f"of {NEW}", "failed", box=None, pad_edge=False
    )
    for step in moved.steps:
        old, new = step.weights
        calls = (str(step.calls[OLD]), str(step.calls[NEW]), str(step.failed))
        table.add_row(f"{old} : {new}", *calls)
    console.print(table, highlight=False)
    good = not moved.failed
    verdict = (
        f"No call failed of {moved.calls}." if good else f"{moved.failed} of {moved.calls} calls FAILED."
    )
    console.print(Text(verdict, style="bold green" if good else "bold red"))
