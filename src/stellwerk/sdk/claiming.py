"""The claim link: the same frames over plain HTTP, for places that let no WebSocket through.

Tasks come by long poll, as many as there are free hands; every outgoing frame is a POST, and its answer
becomes the frame that the WebSocket would have brought. Frames about one task keep their order, those about
different tasks go side by side. Cancellations are looked for every few seconds, for tasks that have run for a
while. Requests are repeated by the transport; a failure beyond that ends the connection like a broken socket,
and the next one says everything again.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from stellwerk.sdk.backoff import chance
from stellwerk.sdk.errors import Conflict, NotFound, Refused, TooLarge, Unreachable
from stellwerk.sdk.links import Ends, LinkBroken, NotRegistered
from stellwerk.sdk.wire import Frame

POLL_S = 25.0
"""Length of a long poll: below the 30 s after which some proxies cut."""
CLAIM_LIMIT = 100
"""Most tasks in one claim, the server's limit."""
PAUSE_S = 2.0
"""Before the next claim when one came back empty at once."""
HEARTBEAT_S = 20.0
LOOK_S = 3.0
"""How often running tasks are looked at for cancellation."""

_PATHS = {
    "accept": "acknowledge",
    "progress": "progress",
    "log": "logs",
    "complete": "complete",
    "fail": "fail",
    "release": "release",
    "cancelled": "cancelled",
}


class _Claimed(msgspec.Struct):
    tasks: list[Frame] = []


class _Standing(msgspec.Struct):
    state: str = ""
    reason: str | None = None


class _Look(msgspec.Struct):
    task: _Standing


class _Sent(msgspec.Struct):
    """What is needed of an outgoing frame; the rest of its body is handed on."""

    type: str
    task_id: str = ""
    lease: int = 0


class ClaimLink:
    """Serves "connections" of claims, one after the other."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        options = ends.options
        self._place = {"agent_id": ends.agent_id} | (
            {"instance_id": options.instance_id} if options.instance_id else {}
        )

        self._heartbeat_path = f"/agents/{quote(ends.agent_id, safe='')}/heartbeat"

    async def serve(self) -> None:
        """Claim and answer until something fails for good; see `Link`."""
        self._ends.outbox.open()
        try:
            self._ends.holdings.resume()
            async with asyncio.TaskGroup() as group:
                for each in (self._claim(), self._send(), self._beat(), self._look()):
                    group.create_task(each)
        except* (Unreachable, aiohttp.ClientError, OSError, TimeoutError) as faults:
            raise LinkBroken(str(faults.exceptions[0])) from faults
        except* NotRegistered as faults:
            raise NotRegistered(str(faults.exceptions[0])) from faults
        except* Refused as faults:
            raise _first(faults) from faults
        finally:
            self._ends.outbox.close()

    async def say_goodbye(self) -> None:
        """Do nothing: whoever does not claim gets nothing."""

    async def _post(self, path: str, body: dict[str, Any], answer: Any, patience_s: float = 0.0) -> Any:
        # Repeatable: the server takes a repetition of any of these for what it is.
        return await self._ends.transport.call(
            "POST", path, answer, body=self._place | body, repeatable=True, patience_s=patience_s
        )

    async def _claim(self) -> None:
        loop = asyncio.get_running_loop()
        holdings, hands = self._ends.holdings, self._ends.options.concurrency
        while True:
            free = hands - len(holdings)
            if free <= 0 or holdings.stopping:
                holdings.changed.clear()
                await holdings.changed.wait()
                continue
            body = {"limit": min(free, CLAIM_LIMIT), "wait_s": POLL_S}
            began = loop.time()
            try:
                claimed = await self._post("/tasks/claim", body, _Claimed, patience_s=POLL_S)
            except NotFound as fault:
                raise NotRegistered(str(fault)) from fault
            holdings.take([msgspec.structs.replace(each, type="task_assigned") for each in claimed.tasks])
            if not claimed.tasks and loop.time() - began < PAUSE_S:
                # Nothing is given to this agent for now (maintenance, say), and the server does not make it
                # wait.
                await asyncio.sleep(PAUSE_S)

    async def _send(self) -> None:
        while True:
            by_task: dict[str, list[tuple[_Sent, bytes]]] = {}
            for raw in await self._ends.outbox.take():
                sent = msgspec.json.decode(raw, type=_Sent)
                if sent.type == "heartbeat":
                    await self._post(self._heartbeat_path, _body(raw), Any)
                if sent.type in _PATHS:
                    by_task.setdefault(sent.task_id, []).append((sent, raw))
            await asyncio.gather(*(self._send_in_order(frames) for frames in by_task.values()))

    async def _send_in_order(self, frames: list[tuple[_Sent, bytes]]) -> None:
        for sent, raw in frames:
            path = f"/tasks/{quote(sent.task_id, safe='')}/{_PATHS[sent.type]}"
            try:
                standing = await self._post(path, _body(raw), _Standing)
            except Refused as refused:
                self._refused(sent, refused)
            else:
                self._taken(sent, standing)

    def _taken(self, sent: _Sent, standing: _Standing) -> None:
        frame = Frame(task_id=sent.task_id, lease=sent.lease, state=standing.state)
        if sent.type == "accept":
            frame = msgspec.structs.replace(frame, type="task_started")
        elif sent.type in ("progress", "log"):
            if standing.state != "cancelling":
                return
            frame = msgspec.structs.replace(frame, type="task_cancel", reason=standing.reason)
        else:
            frame = msgspec.structs.replace(frame, type="task_settled")
        self._ends.holdings.take([frame])

    def _refused(self, sent: _Sent, refused: Refused) -> None:
        lost = isinstance(refused, NotFound) or (
            isinstance(refused, Conflict) and refused.code == "lease_lost"
        )
        kind = "lease_lost" if lost else "error"
        code = refused.code or ("too_large" if isinstance(refused, TooLarge) else "refused")
        frame = Frame(
            type=kind,
            task_id=sent.task_id,
            lease=sent.lease,
            detail=refused.detail,
            code=code,
        )
        self._ends.holdings.take([frame])

    async def _beat(self) -> None:
        ends = self._ends
        while True:
            body = {"load_metrics": ends.meter.read(len(ends.holdings))}
            try:
                await self._post(self._heartbeat_path, body, Any)
            except NotFound as fault:
                raise NotRegistered(str(fault)) from fault
            await asyncio.sleep(HEARTBEAT_S * (0.8 + 0.2 * chance()))

    async def _look(self) -> None:
        ends = self._ends
        while True:
            await asyncio.sleep(LOOK_S)
            for task_id, lease in ends.holdings.running(older_than_s=LOOK_S):
                try:
                    look = await ends.transport.call("GET", f"/tasks/{quote(task_id, safe='')}", _Look)
                except NotFound:
                    continue
                if look.task.state == "cancelling":
                    why = None if look.task.reason == "requested" else look.task.reason
                    ends.holdings.take([Frame(type="task_cancel", task_id=task_id, lease=lease, reason=why)])


def _body(raw: bytes) -> dict[str, Any]:
    """Return a frame's fields without those that the path says."""
    body: dict[str, Any] = msgspec.json.decode(raw)
    return {name: value for name, value in body.items() if name not in ("type", "task_id")}


def _first(faults: BaseExceptionGroup[Refused]) -> Refused:
    inner: BaseException = faults
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    assert isinstance(inner, Refused)  # noqa: S101  the group holds nothing else
    return inner
