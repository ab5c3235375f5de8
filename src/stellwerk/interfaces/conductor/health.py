"""Routes about the server's own health, which anybody may ask."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.http.operation import Answer, Call, Operation, Raw
from stellwerk.interfaces.conductor.rendering import instant
from stellwerk.interfaces.conductor.wire import health as wire
from stellwerk.loop import Loop
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError, NotSelected

CHECK_S = 2.0
"""What does not answer within this is not well."""
KEPT_S = 2.0
"""An answer of the cluster is kept this long: anybody may ask, as often as they like."""
SIMULATION = "a simulation: nothing of it is real"
TAG = "health"
encode = msgspec.json.Encoder().encode

DatabaseCheck = Callable[[], Awaitable[str | None]]
MeasuringStatus = Literal["unselected", "unknown", "available", "unavailable"]
Measuring = Callable[[], tuple[MeasuringStatus, str]]
"""Tells what is known of Prometheus, and why."""


def not_measuring() -> tuple[MeasuringStatus, str]:
    """Tell that there is no Prometheus."""
    return "unselected", "inquiry.prometheus is not set"


class HealthRoutes:
    """See the module."""

    def __init__(
        self,
        cluster: Cluster,
        loops: Sequence[Loop],
        database: DatabaseCheck,
        clock: Clock,
        away: Callable[[], str | None],
        *,
        model: str | None = None,
        inquiring: Sequence[Loop] = (),
        measuring: Measuring = not_measuring,
    ) -> None:
        """`database` tells what is wrong with it, None if it is well; `away` the same of our watches.

        `model`: the language model of investigations, `provider/name`; None if there is none.
        `inquiring`: the loops of investigations, each of which is shown and counts.
        """
        self._cluster = cluster
        self._loops = loops
        self._database = database
        self._clock = clock
        self._away = away
        self._model = model
        self._inquiring = inquiring
        self._measuring = measuring
        self._asking: asyncio.Task[dict[str, wire.Part]] | None = None
        self._asked_at = 0.0

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/healthz",
                handle=self.alive,
                scope=None,
                summary="Say that the server answers",
                tag=TAG,
                gives=wire.Alive,
            ),
            Operation(
                method="GET",
                path="/readyz",
                handle=self.readiness,
                scope=None,
                summary="Say whether the server can do its work, and how the cluster is",
                tag=TAG,
                query=wire.ReadyQuery,
                gives=wire.Readiness,
                also={503: wire.Readiness},
            ),
        ]

    async def alive(self, call: Call[None, None]) -> Answer:
        return wire.Alive(status="healthy", version=__version__, timestamp=instant(self._clock.now_us()))

    async def readiness(self, call: Call[None, wire.ReadyQuery]) -> Answer:
        parts = await self._parts()
        strictly = ["cluster"] if call.query.strict else []
        names = ["database", "manager", *(loop.name for loop in self._inquiring), *strictly]
        counting = [parts[name] for name in names]
        healthy = all(one.status in ("healthy", "ready", "available") for one in counting)
        body = wire.Readiness(
            status="healthy" if healthy else "unhealthy",
            version=__version__,
            timestamp=instant(self._clock.now_us()),
            components=parts,
        )
        return Raw(encode(body), status=200 if healthy else 503)

    async def _parts(self) -> dict[str, wire.Part]:
        now = asyncio.get_running_loop().time()
        if self._asking is None or (self._asking.done() and now - self._asked_at > KEPT_S):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> dict[str, wire.Part]:
        wrong, cluster = await asyncio.gather(self._ask_database(), self._ask_cluster())
        stuck = next((found for loop in self._loops if (found := loop.wrong())), None)
        return {
            "database": wire.Part(status="unhealthy" if wrong else "healthy", message=wrong or ""),
            "manager": wire.Part(status="not_ready" if stuck else "ready", message=stuck or ""),
            "eventStore": wire.Part(status="unavailable" if wrong else "available", message=wrong or ""),
            "cluster": cluster,
            "watching": wire.Part(
                status="unavailable" if (away := self._away()) else "available", message=away or ""
            ),
            **{loop.name: _turning(loop) for loop in self._inquiring},
            "model": self._configured_model(),
            "prometheus": self._known_prometheus(),
        }

    def _configured_model(self) -> wire.Part:
        """Say which model is configured: nobody outside is asked for readiness."""
        if self._model is None:
            return wire.Part(status="unselected", message="llm.provider is not set")
        return wire.Part(status="available", name=self._model)

    def _known_prometheus(self) -> wire.Part:
        status, message = self._measuring()
        return wire.Part(status=status, message=message)

    async def _ask_database(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_S):
                return await self._database()
        except TimeoutError:
            return f"no answer within {CHECK_S:g} s"

    async def _ask_cluster(self) -> wire.Part:
        cluster = self._cluster
        try:
            async with asyncio.timeout(CHECK_S):
                version = await cluster.version()
        except NotSelected as error:
            return wire.Part(status="unselected", message=str(error))
        except ClusterError as error:
            return wire.Part(status="unavailable", message=str(error), name=cluster.name)
        except TimeoutError:
            message = f"no answer within {CHECK_S:g} s"
            return wire.Part(status="unavailable", message=message, name=cluster.name)
        return wire.Part(
            status="available",
            message=SIMULATION if cluster.simulated else "",
            name=cluster.name,
            version=version,
            simulated=cluster.simulated,
        )


def _turning(loop: Loop) -> wire.Part:
    wrong = loop.wrong()
    return wire.Part(status="not_ready" if wrong else "ready", message=wrong or "")
