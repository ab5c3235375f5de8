"""Applying a wave, and waiting until everything of it is healthy."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable
from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.operations import events
from stellwerk.release.operations.looking import AT_ONCE
from stellwerk.release.operations.outcomes import (
    Stopped,
    failure_of,
    refused_result,
    result_of,
    settled_result,
    too_late,
    unhealthy,
)
from stellwerk.release.operations.progress import Progress
from stellwerk.release.operations.record import ObjectStatus
from stellwerk.release.operations.removing import Remover
from stellwerk.release.operations.settling import Standing
from stellwerk.release.operations.tools import Tools
from stellwerk.release.order import in_order
from stellwerk.release.plan import WRITES, Action, Known, Scope, Step, to_apply
from stellwerk.release.waves import hook_of


class Applier:
    """Applies the waves of one operation."""

    def __init__(self, tools: Tools, progress: Progress, remover: Remover) -> None:
        self._tools = tools
        self._progress = progress
        self._remover = remover
        self._bodies: dict[Key, Body] = {}
        """What applying gave."""

    async def apply(self, wave: Sequence[Step], known: Known, scope: Scope) -> None:
        """Apply a wave, stage after stage. Raises Stopped, ClusterUnavailable."""
        progress = self._progress
        steps = {step.key: step for step in wave if step.action in WRITES and not progress.has_run(step)}
        for stage in in_order(step.manifest for step in steps.values() if step.manifest):
            progress.check_cancelled()
            await progress.write_to_cluster(may_lack_namespace=True)
            await self._apply_stage([(steps[one.key], one) for one in stage], known, scope)

    async def settle(self, wave: Sequence[Step], known: Known) -> None:
        """Wait until everything of a wave is healthy. Raises Stopped."""
        objects = {step.key: body for step in wave if (body := self._body(step, known)) is not None}
        if not objects:
            return
        progress = self._progress
        try:
            async with (
                asyncio.timeout(progress.left_s()),
                contextlib.aclosing(self._tools.settling.follow(objects)) as standings,
            ):
                async for found in standings:
                    progress.check_cancelled()
                    if await self._weigh(found):
                        return
        except TimeoutError:
            deadline_s = progress.operation.options.deadline_s
            raise Stopped(too_late(progress.results.values(), deadline_s)) from None

    async def _apply_stage(self, stage: Sequence[tuple[Step, Manifest]], known: Known, scope: Scope) -> None:
        progress, limit = self._progress, asyncio.Semaphore(AT_ONCE)
        failed: list[BaseException] = []

        async def one(step: Step, manifest: Manifest) -> tuple[Manifest, str] | None:
            async with limit:
                if failed:
                    return None
                try:
                    return manifest, await self._apply_one(step, manifest, known, scope)
                except ClusterError as error:
                    failed.append(error)
                    progress.note([refused_result(step, error)])
                    return None

        progress.changed = True
        done = [one for one in await asyncio.gather(*(one(*each) for each in stage)) if one]
        progress.applied(done)
        keys = {manifest.key for manifest, _ in done}
        applied = [result_of(step, ObjectStatus.APPLIED) for step, _ in stage if step.key in keys]
        progress.note(applied)
        wrong = [one for one in progress.results.values() if one.status is ObjectStatus.FAILED]
        await progress.write([events.happened(progress.operation, one) for one in (*applied, *wrong)])
        if failed and isinstance(failed[0], ClusterUnavailable):
            raise failed[0]
        if failed:
            raise Stopped(failure_of(failed[0], wrong[0].key))

    async def _apply_one(self, step: Step, manifest: Manifest, known: Known, scope: Scope) -> str:
        live, cluster = known.live.get(step.key), self._tools.cluster
        if hook_of(manifest) is not None and live is not None:
            await cluster.delete(step.key)
        if isinstance(live, dict) and (hook_of(manifest) or live["metadata"].get("deletionTimestamp")):
            await self._remover.until_gone([step.key])
        body = to_apply(manifest, known, scope)
        applied = await cluster.apply(body, manager=scope.identity.manager, force=scope.force)
        self._bodies[step.key] = applied.object
        return str(applied.object["metadata"].get("uid", ""))

    async def _weigh(self, found: Mapping[Key, Standing]) -> bool:
        """Note how objects are; tell whether all are healthy. Raises Stopped where waiting is in vain."""
        progress = self._progress
        results = progress.results
        news = [
            result
            for key, standing in found.items()
            if (result := settled_result(results[key], standing)) != results[key]
        ]
        moved = [one for one in news if one.status is not results[one.key].status]
        progress.note(news)
        healthy = all(standing.healthy for standing in found.values())
        if not healthy:
            progress.wait()
        if news:
            told = [
                one for one in moved if one.action != Action.UNCHANGED or one.status is ObjectStatus.FAILED
            ]
            await progress.write([events.happened(progress.operation, one) for one in told])
        for key, standing in found.items():
            if standing.certain:
                raise Stopped(unhealthy(key, standing))
        return healthy

    def _body(self, step: Step, known: Known) -> Body | None:
        """Return an object as it is before anybody waits for it; None for what cannot be read, or has run."""
        live = known.live.get(step.key)
        return self._bodies.get(step.key) or (
            live if step.action is Action.UNCHANGED and isinstance(live, dict) else None
        )
