"""Removing objects, and waiting until they are gone."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from stellwerk.release.clusters.cluster import Cluster, Propagation
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.objects import Key
from stellwerk.release.operations import events
from stellwerk.release.operations.looking import AT_ONCE, look_again
from stellwerk.release.operations.outcomes import Stopped, failure_of, not_gone, refused_result, result_of
from stellwerk.release.operations.progress import Progress
from stellwerk.release.operations.record import ObjectStatus
from stellwerk.release.order import makes_nothing
from stellwerk.release.plan import Action, Live, Step

GONE_POLL_S = 0.25
"""Between looks whether something that was deleted is gone; the wait is seconds."""


class Remover:
    """Removes objects for one operation."""

    def __init__(self, cluster: Cluster, progress: Progress) -> None:
        self._cluster = cluster
        self._progress = progress

    async def remove(self, stage: Sequence[Step]) -> None:
        """Delete what is to be deleted together, and wait until it is gone. Raises Stopped."""
        removed = [step for step in stage if step.action is Action.DELETE]
        if not removed:
            return
        progress = self._progress
        progress.check_cancelled()
        progress.changed = True
        await self._delete(removed)
        await self.until_gone([step.key for step in removed], {step.key: step.uid for step in removed})
        results = [result_of(step, ObjectStatus.DELETED) for step in removed]
        progress.note(results)
        progress.forget([step.key for step in removed])
        await progress.write([events.happened(progress.operation, one) for one in results])

    async def until_gone(self, keys: Iterable[Key], uids: Mapping[Key, str] | None = None) -> None:
        """Wait for objects that were deleted; another one of the same name counts as gone. Raises Stopped."""
        progress, known = self._progress, uids or {}
        left = set(keys)
        try:
            async with asyncio.timeout(progress.left_s()):
                while True:
                    progress.check_cancelled()
                    found = await look_again(self._cluster, left, progress.operation.identity)
                    left = {key for key in left if _is_there(found.get(key), known.get(key, ""))}
                    if not left:
                        return
                    await asyncio.sleep(GONE_POLL_S)
        except TimeoutError:
            raise Stopped(not_gone(min(left))) from None

    async def _delete(self, removed: Sequence[Step]) -> None:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(step: Step) -> None:
            async with limit:
                await self._cluster.delete(step.key, propagation=_propagation(step.key), uid=step.uid or None)

        failures = await asyncio.gather(*map(one, removed), return_exceptions=True)
        for step, failure in zip(removed, failures, strict=True):
            if isinstance(failure, ClusterError):
                self._progress.note([refused_result(step, failure)])
                raise Stopped(failure_of(failure, step.key)) from failure
            if failure is not None:
                raise failure


def _propagation(key: Key) -> Propagation:
    """Let an object stay until what was made for it is gone, so that its end is the end of its pods too.

    That is the work of the cluster's garbage collector, which does some seven objects a second; what nothing
    is made for need not wait for it.
    """
    return "background" if makes_nothing(key) else "foreground"


def _is_there(live: Live, uid: str) -> bool:
    """Tell whether it is still the object that was deleted; of what is not visible nothing can be known."""
    return isinstance(live, dict) and (not uid or live["metadata"].get("uid") == uid)
