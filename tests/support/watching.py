"""An application that is deployed and watched, for tests."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from stellwerk.journal.event import EventFilter
from stellwerk.release.objects import Key
from stellwerk.release.ownership import Identity
from stellwerk.release.watching.reconciling import Mode, Reconciler
from stellwerk.release.watching.record import HealthChange, ServiceHealth
from stellwerk.release.watching.service import Watching
from support.release import LIMIT_S, Yard
from support.worlds import US


class Tower:
    """Watches what a yard deploys."""

    def __init__(
        self, yard: Yard, *, mode: Mode = Mode.OFF, holder: str = "here", pass_s: float = 300.0
    ) -> None:
        self.yard = yard
        self.watching = Watching(yard.tools, yard.operations, US.application, holder=holder)
        self.reconciler = Reconciler(yard.tools, yard.operations, self.watching, mode=mode, pass_s=pass_s)
        self.changes: list[HealthChange] = []
        self.watching.listen(self.changes.append)

    async def start(self) -> None:
        await self.watching.start()
        await self.reconciler.start()

    async def stop(self) -> None:
        await self.reconciler.stop()
        await self.watching.stop()

    async def health(self, service: str = "web", identity: Identity = US) -> ServiceHealth:
        found = await self.watching.services(identity, [service])
        return next(one for one in found if one.service == service)

    async def until(self, status: str, service: str = "web", *, within_s: float = LIMIT_S) -> ServiceHealth:
        """Wait until a service is so."""

        async def found() -> ServiceHealth | None:
            one = await self.health(service)
            return one if one.health.status == status else None

        return await until(found, lambda: f"{service} is not {status}", within_s=within_s)

    async def until_drift(self, *keys: Key, within_s: float = LIMIT_S) -> None:
        """Wait until exactly these objects drifted."""

        async def found() -> bool:
            return set(await self.watching.drift(US)) == set(keys)

        await until(found, lambda: "drift is not as expected", within_s=within_s)

    async def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return what the journal has of these kinds."""
        page = await self.yard.journal.page(EventFilter(kinds=kinds or ("deploy.*",)), limit=1000)
        return [{"kind": one.kind, "group": one.group} | msgspec.json.decode(one.data) for one in page.events]

    async def until_event(
        self, kind: str, count: int = 1, *, within_s: float = LIMIT_S
    ) -> Sequence[dict[str, Any]]:
        """Wait until the journal has so many events of a kind."""

        async def found() -> Sequence[dict[str, Any]]:
            events = await self.events(kind)
            return events if len(events) >= count else ()

        return await until(found, lambda: f"there are not {count} events {kind}", within_s=within_s)


async def until(
    found: Callable[[], Awaitable[Any]], message: Callable[[], str], *, within_s: float = LIMIT_S
) -> Any:
    """Wait until something is found; many things are looked at, so nothing announces it."""
    try:
        async with asyncio.timeout(within_s):
            while not (one := await found()):  # noqa: ASYNC110  many things are looked at
                await asyncio.sleep(0.02)
            return one
    except TimeoutError:
        raise AssertionError(message()) from None
