"""Routes about the log's levels, of the process that answers."""

import os
import platform
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.levels import Levels
from stellwerk.trust.scopes import Scope

PATH = "/logs/levels"
NAME = r"^stellwerk(\.[a-z_][a-z0-9_]{0,63}){0,9}(?!\n)$"
DAY_S = 86_400.0

Level = Literal["debug", "info", "warning", "error"]
Logger = Annotated[str, Meta(pattern=NAME, description="A module, with all below it: `stellwerk.work`.")]


class NewLevel(msgspec.Struct, kw_only=True):
    """A level for a logger; without `level` that of the settings again."""

    logger: Logger = "stellwerk"
    level: Level | None = None
    for_s: Annotated[float, Meta(gt=0.0, le=DAY_S, description="Seconds until it is as before.")] | None = (
        None
    )


class ShownLevel(msgspec.Struct, kw_only=True):
    """What was changed; `remaining_s` null lasts until the process ends."""

    logger: str
    level: str
    remaining_s: float | None


class LevelList(msgspec.Struct, kw_only=True):
    """The levels of one process: other replicas have their own."""

    process: str
    """Host and process id of whichever answers."""
    configured: str
    changes: list[ShownLevel]


class LogRoutes:
    """See the module."""

    def __init__(self, levels: Levels, journal: Journal) -> None:
        self._levels = levels
        self._journal = journal

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path=PATH,
                handle=self.show,
                scope=Scope.ADMIN,
                summary="Show the log levels of the process that answers",
                tag="logs",
                gives=LevelList,
            ),
            Operation(
                method="PUT",
                path=PATH,
                handle=self.change,
                scope=Scope.ADMIN,
                summary="Change a log level of the process that answers, for a time or until it ends",
                tag="logs",
                takes=NewLevel,
                gives=LevelList,
            ),
        ]

    async def show(self, call: Call[None, None]) -> Answer:
        return self._shown()

    async def change(self, call: Call[NewLevel, None]) -> Answer:
        body = call.body
        # Told first: who turns the log down shall be found.
        data = {"process": _process(), **msgspec.to_builtins(body)}
        text = msgspec.json.encode(data).decode()
        by = call.principal
        await self._journal.record(Event("log.level_changed", Retention.AUDIT, principal=by.id, data=text))
        if body.level is None:
            self._levels.reset(body.logger)
        else:
            self._levels.set(body.logger, body.level, body.for_s)
        return self._shown()

    def _shown(self) -> LevelList:
        changes = [
            ShownLevel(logger=one.logger, level=one.level, remaining_s=left)
            for one, left in self._levels.changes()
        ]
        return LevelList(process=_process(), configured=self._levels.configured, changes=changes)


def _process() -> str:
    return f"{platform.node()}:{os.getpid()}"
