"""Departures: who leaves, where the good-bye names only the agent.

The published SDK announces its end before its socket closes, and waits for the answer; it says neither its
version nor its process. So the instances are asked afterwards, until one of them says that it stops or does
not listen any more.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.errors import FleetRefused
from stellwerk.fleet.model import BASE_URL, AgentView, InstanceView, Presence
from stellwerk.traffic.dialling import AnswerLost, DialForbidden, Dialler, NotDialled

AGAIN_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Pauses before the instances are asked; a process that ends closes its socket within a second or two."""
ASK_S = 2.0

_log = structlog.get_logger(__name__)

Leave = Callable[[str, str], Awaitable[None]]
"""Takes group and instance."""


class _Said(msgspec.Struct):
    status: str = ""


class Departures:
    """Finds out who leaves, in the background."""

    def __init__(self, dialler: Dialler, find: Callable[[str], AgentView | None]) -> None:
        self._dialler = dialler
        self._find = find
        self._tasks: set[asyncio.Task[None]] = set()

    def find_out(self, group: str, leave: Leave) -> None:
        """Find out which instance of a group leaves, and call `leave` with it."""
        task = asyncio.create_task(self._find_out(group, leave))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _find_out(self, group: str, leave: Leave) -> None:
        for pause_s in AGAIN_S:
            await asyncio.sleep(pause_s)
            view = self._find(group)
            able = (
                []
                if view is None
                else [one for one in view.instances if one.presence is not Presence.OFFLINE]
            )
            gone = await asyncio.gather(*(self._is_leaving(one) for one in able))
            leaving = [one.instance for one, is_gone in zip(able, gone, strict=True) if is_gone]
            for instance in leaving:
                try:
                    await leave(group, instance)
                except (FleetRefused, DatabaseUnavailable) as refused:
                    _log.info("a departure was not noted", agent=group, why=str(refused))
            if leaving or not able:
                return

    async def _is_leaving(self, one: InstanceView) -> bool:
        address = one.endpoints.get(BASE_URL)
        if address is None:
            return False
        try:
            answer = await self._dialler.get(f"{address}/status", ASK_S)
        except NotDialled as fault:
            return fault.refused
        except (AnswerLost, DialForbidden):
            return False
        try:
            return msgspec.json.decode(answer.body, type=_Said).status == "stopping"
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
