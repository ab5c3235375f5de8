"""How the runner reaches the server: over the task-stream while it stands, else by requests.

Theory of operation. The runner outlives connections and identities; this object stays and what is behind it
changes. Telling (progress, logs) is best effort: without a stream it is dropped. Accepting, completing and
giving back end only with an answer of the server. An answer that the stream owes is waited for shortly, then
asked for by a request, which is safe: the server takes the same accept and the same completion twice.

Whoever could not reach the server tries again with growing pauses; the first heartbeat that gets through
after others did not ends them all. Heartbeats are spread over the fleet, so that brings nobody all at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from stellwerk.agent.backoff import Backoff, chance
from stellwerk.agent.outcome import cancelled
from stellwerk.agent.settings import AgentSettings
from stellwerk.agent.transport import Refused, Transport, Unreachable, Verdict
from stellwerk.agent.wire import Frame

_log = logging.getLogger("stellwerk.agent")

STREAM_ANSWER_S = 5.0
"""How long the stream may take to confirm; then a request asks."""
ANSWERS = {"task_started": "accept", "task_recorded": "complete"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One handing over of a task: what the server knows it by."""

    task_id: str
    attempt: int
    lease: int


class Outlet(Protocol):
    """A task-stream that takes messages."""

    def put(self, message: dict[str, Any]) -> None: ...


class Uplink:
    """Stands between runner and connection."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._transport: Transport | None = None
        self._agent_id = ""
        self._connected = asyncio.Event()
        self._reached = asyncio.Event()
        self._outlet: Outlet | None = None
        self._owed: dict[tuple[str, str, int], asyncio.Future[bool]] = {}
        self.on_identity_refused: Callable[[Refused], None] = lambda refused: None
        """Set by the connection: a request of the runner found out what a heartbeat would."""
        self.generation = 0
        """Counts streams: the same number before and after means that none was lost between."""

    def use(self, transport: Transport | None, agent_id: str = "") -> None:
        """Send requests through `transport` from now on; None while there is no identity."""
        self._transport, self._agent_id = transport, agent_id
        if transport is None:
            self._connected.clear()
        else:
            self._connected.set()

    def attach(self, outlet: Outlet) -> None:
        """Send messages through a stream from now on."""
        self._outlet = outlet
        self.generation += 1

    def detach(self, outlet: Outlet) -> None:
        """The stream is gone; whoever waits for it turns to requests."""
        if self._outlet is outlet:
            self._outlet = None
            self.generation += 1
        for future in self._owed.values():
            if not future.done():
                future.cancel()

    def reached(self) -> None:
        """The server answers again: whoever pauses may try again now."""
        self._reached.set()
        self._reached.clear()

    async def pause(self, limit_s: float) -> None:
        """Wait until the server answers again, at most `limit_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._reached.wait()

    @property
    def has_stream(self) -> bool:
        """Whether a task-stream stands."""
        return self._outlet is not None

    def say(self, message: dict[str, Any]) -> None:
        """Put a message on the stream; dropped without one."""
        if self._outlet is not None:
            self._outlet.put(message)

    def heard(self, frame: Frame) -> None:
        """Take a confirmation, or an error about a task, from the stream."""
        if frame.task_id is None:
            return
        for (kind, task_id, lease), future in list(self._owed.items()):
            if task_id != frame.task_id or frame.lease not in (None, lease) or future.done():
                continue
            if frame.type == "error":
                future.set_result(False)
            elif ANSWERS.get(frame.type) == kind:
                future.set_result(True)

    async def accept(self, delivery: Delivery) -> Refused | None:
        """Take a task on; None when the server has written that down, else why it must not be begun."""
        if await self._by_stream("accept", delivery, {"type": "task_accepted"}):
            return None
        # Also after an error on the stream: the request says for certain what holds.
        return await self._by_request(delivery.task_id, "ack", {"lease": delivery.lease})

    async def complete(
        self, delivery: Delivery, outcome: dict[str, Any], logs: list[dict[str, Any]] | None
    ) -> Refused | None:
        """Tell how a task ended, until the server has written it down; return why it does not want to.

        `logs` are those that the stream may have lost; None when it has lost none.
        """
        if logs is None:
            told = await self._by_stream("complete", delivery, {"type": "task_completed", **outcome})
            if told:
                return None
        body = {**outcome, "lease": delivery.lease, "attempt": delivery.attempt, "logs": logs or []}
        return await self._by_request(delivery.task_id, "complete", body)

    async def deny(self, task_id: str) -> Refused | None:
        """Tell that a task which the server wants stopped is not in hand, whatever its present lease."""
        return await self._by_request(task_id, "complete", cancelled())

    async def release(self, delivery: Delivery) -> Refused | None:
        """Give back a task that was never begun; return why the server does not take it."""
        body = {"lease": delivery.lease, "begun": False}
        return await self._by_request(delivery.task_id, "release", body)

    async def _by_stream(self, kind: str, delivery: Delivery, message: dict[str, Any]) -> bool:
        """Say it and wait for the confirmation; False means that a request has to ask."""
        if self._outlet is None:
            return False
        key = (kind, delivery.task_id, delivery.lease)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._owed[key] = future
        try:
            self._outlet.put({**message, "taskId": delivery.task_id, "lease": delivery.lease})
            done, _ = await asyncio.wait({future}, timeout=STREAM_ANSWER_S)
            return bool(done) and not future.cancelled() and future.result()
        finally:
            self._owed.pop(key, None)

    async def _by_request(self, task_id: str, verb: str, body: dict[str, Any]) -> Refused | None:
        backoff = Backoff(self._settings.retry_first_s, self._settings.retry_cap_s)
        while True:
            await self._connected.wait()
            transport, agent_id = self._transport, self._agent_id
            if transport is None:
                continue
            path = f"/api/v1/agents/{quote(agent_id, safe='')}/tasks/{quote(task_id, safe='')}/{verb}"
            try:
                await transport.call("POST", path, Any, body)
                return None
            except Unreachable as error:
                _log.warning("%s of %s did not get through: %s", verb, task_id, error)
                await self.pause(backoff.next_s(chance()))
            except Refused as refused:
                if refused.verdict is Verdict.FINAL:
                    return refused
                if refused.concerns_identity:
                    self.on_identity_refused(refused)
                _log.warning("%s of %s was refused for now: %s", verb, task_id, refused)
                await asyncio.sleep(max(refused.retry_after_s or 0.0, backoff.next_s(chance())))
