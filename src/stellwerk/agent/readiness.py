"""What this machine can do now, asked in the background so that heartbeats never wait for an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from stellwerk.agent.executors.executor import Executor

PROBE_S = 30.0
REASON_CHARACTERS = 200
"""What the server takes of a reason, in one line."""
FULL_PERCENT = 90.0
"""Of the disk: above, pulls begin to fail."""


class Readiness:
    """Keeps the last answer of every executor."""

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._executors = list({id(executor): executor for executor in executors.values()}.values())
        self._faults: dict[str, str] = {}
        self._seen: set[str] = set()

    async def probe(self) -> None:
        """Ask every executor once, all at the same time."""
        answers = await asyncio.gather(*(executor.ready() for executor in self._executors))
        faults: dict[str, str] = {}
        for executor, fault in zip(self._executors, answers, strict=True):
            if fault is None:
                self._seen.add(executor.capability)
            else:
                faults[executor.capability] = fault
        self._faults = faults

    async def keep_probing(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            await asyncio.sleep(PROBE_S)
            await self.probe()

    @property
    def possible(self) -> list[str]:
        """What may work one day: an engine that is away now comes back without a new registration."""
        return sorted({executor.capability for executor in self._executors})

    @property
    def capabilities(self) -> list[str]:
        """What works now."""
        return sorted({executor.capability for executor in self._executors} - set(self._faults))

    def reasons(self, load: Mapping[str, float]) -> list[str]:
        """Why the agent is degraded; what never worked here is no reason."""
        lost = [f"{name}: {fault}" for name, fault in sorted(self._faults.items()) if name in self._seen]
        full = load.get("disk", 0.0)
        reasons = lost + ([f"disk: {full:g} % full"] if full >= FULL_PERCENT else [])
        return [" ".join(reason.split())[:REASON_CHARACTERS] for reason in reasons]
