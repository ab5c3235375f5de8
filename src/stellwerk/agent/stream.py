"""The task-stream: a WebSocket over which tasks come at once.

It replaces the fetching of tasks only; heartbeats go on beside it and tasks survive its loss. Two loops share
a connection, one reads, one writes what was put; when one ends, so does the other. The first message tells
what this process works on, also when that is nothing, and the server answers with what it still waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from stellwerk.agent.backoff import Backoff, chance
from stellwerk.agent.heartbeat import CONFLICT_PAUSE_S, Ends, Vitals
from stellwerk.agent.run import Phase
from stellwerk.agent.transport import CLOSE_VERDICTS, Refused, Transport, Unreachable, Verdict
from stellwerk.agent.uplink import Uplink
from stellwerk.agent.wire import Beat, Frame, decode_frames, decode_task

_log = logging.getLogger("stellwerk.agent")

STEADY_S = 10.0
"""A stream that stood this long was a good one: the next break starts with the shortest pause."""
UNSENT_LIMIT = 10_000
"""Messages that wait for a slow network; above, the oldest go: what must arrive is asked for by request."""
FLOODED = 4429
FLOODED_PAUSE_S = 30.0


class StreamEnded(Exception):
    """The stream is over; `code` is its close code."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"the task-stream was closed ({code})")
        self.code = code


class Stream:
    """Serves task-streams, one after the other, over one transport."""

    def __init__(
        self, transport: Transport, agent_id: str, vitals: Vitals, uplink: Uplink, ends: Ends
    ) -> None:
        self._transport = transport
        self._path = f"/api/v1/agents/{quote(agent_id, safe='')}/task-stream"
        self._vitals = vitals
        self._uplink = uplink
        self._ends = ends
        self._unsent: deque[bytes] = deque(maxlen=UNSENT_LIMIT)
        self._filled = asyncio.Event()

    def put(self, message: dict[str, Any]) -> None:
        """Send a message when its turn comes."""
        self._unsent.append(msgspec.json.encode(message))
        self._filled.set()

    async def keep_streaming(self) -> None:
        """Serve for ever. Raises Refused when the server says that the identity is revoked."""
        settings = self._vitals.settings
        backoff = Backoff(settings.retry_first_s, settings.retry_cap_s)
        loop = asyncio.get_running_loop()
        while True:
            began, least_s, refusal = loop.time(), 0.0, None
            try:
                await self._serve()
            except StreamEnded as ended:
                least_s = self._judge(ended)
            except Refused as refused:
                # The reason of a refused handshake is unknown here; the next heartbeat learns it.
                refusal = refused
                _log.warning("no task-stream: %s; tasks come with heartbeats", refused)
            except (Unreachable, aiohttp.ClientError, OSError) as error:
                _log.warning("the task-stream broke: %s", error)
            if loop.time() - began > STEADY_S:
                backoff.reset()
            await asyncio.sleep(least_s)
            await self._pause(backoff.next_s(chance()) - least_s, refusal)

    async def _pause(self, limit_s: float, refused: Refused | None) -> None:
        if refused is None:
            await self._uplink.pause(limit_s)
        else:
            # A heartbeat that gets through says nothing of a proxy that lets no stream pass.
            await asyncio.sleep(limit_s)

    def _judge(self, ended: StreamEnded) -> float:
        """Return the shortest pause after a close. Raises Refused for one that is for good."""
        verdict = CLOSE_VERDICTS.get(ended.code or 0)
        _log.warning("%s", ended)
        if verdict is Verdict.REVOKED:
            raise Refused(403, "agent.revoked", "the server closed the task-stream: this agent was removed")
        if verdict is Verdict.CONFLICT:
            return CONFLICT_PAUSE_S
        return FLOODED_PAUSE_S if ended.code == FLOODED else 0.0

    async def _serve(self) -> None:
        socket = await self._transport.open_stream(self._path)
        self._unsent.clear()
        self.put(self._hello())
        self._uplink.attach(self)
        loops = [asyncio.ensure_future(self._read(socket)), asyncio.ensure_future(self._write(socket))]
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            self._uplink.detach(self)
            for each in loops:
                each.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            # Also when the process ends: a close frame tells the server at once.
            with contextlib.suppress(Exception):
                await socket.close()

    def _hello(self) -> dict[str, Any]:
        # Also what is being accepted: that may be written down already, only the answer was lost.
        held = [run.delivery for run in self._vitals.runner.held if run.phase is not Phase.WAITING]
        return {
            "type": "hello",
            "instanceId": self._vitals.instance_id,
            "maxTasks": self._vitals.settings.max_tasks,
            "running": [{"taskId": one.task_id, "attempt": one.attempt, "lease": one.lease} for one in held],
        }

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._unsent:
                await socket.send_frame(self._unsent.popleft(), aiohttp.WSMsgType.TEXT)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while (message := await socket.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            try:
                frames = decode_frames(message.data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.warning("the server sent something that is no message: %s", error)
                continue
            for frame in frames:
                await self._take(frame)
        raise StreamEnded(socket.close_code)

    async def _take(self, frame: Frame) -> None:
        runner = self._vitals.runner
        match frame.type:
            case "task_assigned":
                task = decode_task(frame.task)
                if task is None:
                    _log.error("the task-stream brought something that is no task")
                else:
                    runner.offer(task)
            case "task_cancelled" if frame.task_id is not None:
                runner.cancel(frame.task_id)
            case "config" if frame.config is not None:
                await self._ends.heard(Beat(config=frame.config))
            case "error":
                _log.warning("the server says: %s %s", frame.code, frame.message)
                self._uplink.heard(frame)
            case _:
                self._uplink.heard(frame)
