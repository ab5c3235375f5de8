"""Heartbeats: they prove life, renew leases and certificates, and bring tasks while there is no stream.

A heartbeat never waits for a task. While it fails it is retried with full jitter, at most an interval apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from stellwerk.agent.backoff import Backoff, chance
from stellwerk.agent.load import LoadMeter
from stellwerk.agent.readiness import Readiness
from stellwerk.agent.run import Phase
from stellwerk.agent.runner import Runner
from stellwerk.agent.settings import AgentSettings
from stellwerk.agent.transport import Refused, Transport, Unreachable, Verdict
from stellwerk.agent.uplink import Uplink
from stellwerk.agent.wire import Beat, Config, decode_task

_log = logging.getLogger("stellwerk.agent")

CONFLICT_PAUSE_S = 30.0
"""Another process works under this identity; it may be on its way out."""


class Ends(Protocol):
    """What a heartbeat needs from the connection that it serves."""

    def csr(self) -> str | None:
        """Return a CSR when it is time to renew."""

    async def heard(self, beat: Beat) -> None:
        """Take what concerns identity and settings."""


@dataclass(slots=True)
class Vitals:
    """What the agent tells about itself."""

    settings: AgentSettings
    instance_id: str
    runner: Runner
    readiness: Readiness
    meter: LoadMeter
    stopping: bool = False
    config: Config = field(default_factory=Config)

    def body(self, status: str | None = None) -> dict[str, Any]:
        """Render a heartbeat."""
        load = self.meter.read()
        reasons = self.readiness.reasons(load)
        begun = [run for run in self.runner.held if run.is_begun]
        return {
            "status": status or ("stopping" if self.stopping else "degraded" if reasons else "healthy"),
            "statusReasons": reasons,
            "resourceUsage": load,
            "capabilities": self.readiness.capabilities,
            "runningTasks": self.runner.running,
            "maxTasks": self.settings.max_tasks,
            "instanceId": self.instance_id,
            "version": self.settings.version,
            "tasks": [
                {
                    "taskId": run.delivery.task_id,
                    "attempt": run.delivery.attempt,
                    "state": "running" if run.phase is Phase.RUNNING else "finished",
                    "progress": run.narration.percent,
                }
                for run in begun
            ],
        }

    def interval_s(self, *, streaming: bool) -> float:
        """How long until the next heartbeat."""
        beat_s = self.config.heartbeat_interval or self.settings.heartbeat_s
        if streaming or self.stopping:
            return beat_s
        return min(beat_s, self.config.task_poll_interval or self.settings.poll_s)


class Heart:
    """Beats over one transport until cancelled or until the identity is refused."""

    def __init__(
        self, transport: Transport, agent_id: str, vitals: Vitals, uplink: Uplink, ends: Ends
    ) -> None:
        self._transport = transport
        self._path = f"/api/v1/agents/{quote(agent_id, safe='')}/heartbeat"
        self._vitals = vitals
        self._uplink = uplink
        self._ends = ends
        self._wanted = asyncio.Event()

    def hurry(self) -> None:
        """Let the next heartbeat come at once: a place is free, or the stream has gone."""
        self._wanted.set()

    async def beat(self, status: str | None = None) -> None:
        """Send one. Raises Refused, Unreachable."""
        body = self._vitals.body(status)
        if (csr := self._ends.csr()) is not None:
            body["csr"] = csr
        answer = await self._transport.call("POST", self._path, Beat, body)
        # Tasks first: taking a new certificate ends this loop.
        self._take(answer)
        await self._ends.heard(answer)

    async def keep_beating(self) -> None:
        """Beat for ever. Raises Refused when the identity is not accepted any more."""
        settings = self._vitals.settings
        backoff = Backoff(settings.retry_first_s, settings.retry_cap_s)
        while True:
            try:
                await self.beat()
            except Unreachable as error:
                _log.warning("no heartbeat to %s: %s", self._transport.server, error)
                await self._pause(min(self._interval_s(), backoff.next_s(chance())))
            except Refused as refused:
                if refused.concerns_identity:
                    raise
                _log.warning("the heartbeat was refused: %s", refused)
                least = (
                    CONFLICT_PAUSE_S if refused.verdict is Verdict.CONFLICT else refused.retry_after_s or 0
                )
                await self._pause(max(least, backoff.next_s(chance())))
            else:
                if backoff.failing:
                    self._uplink.reached()
                backoff.reset()
                # Spread over the last tenth, so that a fleet that started together drifts apart.
                await self._pause(self._interval_s() * (0.9 + 0.1 * chance()), eager=True)

    def _interval_s(self) -> float:
        return self._vitals.interval_s(streaming=self._uplink.has_stream)

    async def _pause(self, wait_s: float, *, eager: bool = False) -> None:
        if not eager:
            await asyncio.sleep(wait_s)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wanted.wait()
        self._wanted.clear()

    def _take(self, beat: Beat) -> None:
        runner = self._vitals.runner
        for raw in beat.tasks:
            task = decode_task(raw)
            if task is None:
                _log.error("the heartbeat brought something that is no task")
            else:
                runner.offer(task)
        for task_id in beat.cancelled_tasks:
            runner.cancel(task_id)
