"""Readiness: whether this process can do its work, and the state of each part that it needs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stellwerk.clock import Clock
from stellwerk.http.instants import iso
from stellwerk.http.operation import Answer, Call, Operation, Raw

CHECK_S = 2.0
"""A part that does not answer within this is not well."""
KEPT_S = 1.0
"""Results are kept this long: anybody may ask, as often as they like."""


@dataclass(frozen=True, slots=True)
class Component:
    """One part. `check` returns what is wrong, None if it is well; whatever it raises is wrong, too."""

    name: str
    check: Callable[[], Awaitable[str | None]]
    essential: bool = True
    """Whether readiness depends on it also without `strict`."""


class ReadyQuery(msgspec.Struct, kw_only=True):
    """With `strict`, parts count that are not essential."""

    strict: Annotated[bool, Meta(description="Whether parts count that are not essential.")] = False


class ComponentState(msgspec.Struct, omit_defaults=True):
    """A part; `detail` says what is wrong."""

    status: str
    essential: bool
    detail: str | None = None


class Readiness(msgspec.Struct, kw_only=True):
    status: Literal["ready", "not_ready"]
    components: dict[str, ComponentState]
    timestamp: str


class ReadyRoutes:
    """See the module."""

    def __init__(self, components: Sequence[Component], clock: Clock) -> None:
        self._components = components
        self._clock = clock
        self._checking: asyncio.Task[dict[str, ComponentState]] | None = None
        self._checked_at = 0.0

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/ready",
                handle=self.ready,
                scope=None,
                summary="Say whether the service can do its work",
                tag="health",
                query=ReadyQuery,
                gives=Readiness,
                also={503: Readiness},
            )
        ]

    async def ready(self, call: Call[None, ReadyQuery]) -> Answer:
        states = await self._states()
        strict = call.query.strict
        failed = [one for one in states.values() if one.detail is not None and (strict or one.essential)]
        body = msgspec.json.encode(
            Readiness(
                status="not_ready" if failed else "ready",
                components=states,
                timestamp=iso(self._clock.now_us()),
            )
        )
        return Raw(body, status=503 if failed else 200)

    async def _states(self) -> dict[str, ComponentState]:
        now = asyncio.get_running_loop().time()
        if self._checking is None or (self._checking.done() and now - self._checked_at > KEPT_S):
            self._checked_at = now
            self._checking = asyncio.create_task(self._check_all())
        return await asyncio.shield(self._checking)

    async def _check_all(self) -> dict[str, ComponentState]:
        states = await asyncio.gather(*(check(component) for component in self._components))
        return dict(zip((component.name for component in self._components), states, strict=True))


async def check(component: Component) -> ComponentState:
    """Ask one part how it is."""
    try:
        async with asyncio.timeout(CHECK_S):
            wrong = await component.check()
    except TimeoutError:
        wrong = f"no answer within {CHECK_S:g} s"
    except Exception as error:
        wrong = str(error) or type(error).__name__
    return ComponentState("ok" if wrong is None else "failed", component.essential, wrong)
