"""What readiness depends on: the database, and our own loops. What is shown beside them: Prometheus."""

import asyncio
from typing import TYPE_CHECKING

from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Add, Unit
from stellwerk.interfaces.conductor.health import Measuring, MeasuringStatus
from stellwerk.interfaces.operations import Component, Gauge
from stellwerk.loop import Loop

if TYPE_CHECKING:
    from stellwerk.inquiry.metrics.prometheus import Prometheus


def database_component(database: Database) -> Component:
    """Look whether the database takes a write: a full disk or a lost leader still answers reads."""

    async def check() -> str | None:
        try:
            await database.write(_touch)
        except DatabaseUnavailable as error:
            return error.detail
        return None

    return Component("database", check)


def loop_component(loop: Loop) -> Component:
    """Look whether a loop runs and turns."""

    async def check() -> str | None:
        return loop.wrong()

    return Component(loop.name, check)


def loop_gauge(loop: Loop) -> Gauge:
    """Count the faults of a loop."""
    return Gauge(
        "loop_faults",
        "Faults that ended a background loop, which then began again.",
        lambda: loop.faults,
        {"loop": loop.name},
    )


def _touch() -> Unit[None]:
    yield Add("ready.checks", 1)


def measuring(prometheus: "Prometheus | None") -> Measuring:
    """Tell how the last question to Prometheus ended; readiness asks it nothing."""

    def tell() -> tuple[MeasuringStatus, str]:
        if prometheus is None:
            return "unselected", "inquiry.prometheus is not set"
        if prometheus.last is None:
            return "unknown", "no investigation has asked it yet"
        ago_s = asyncio.get_running_loop().time() - prometheus.last.at
        if prometheus.last.wrong is None:
            return "available", f"it answered {ago_s:.0f} s ago"
        return "unavailable", f"{prometheus.last.wrong} ({ago_s:.0f} s ago)"

    return tell
