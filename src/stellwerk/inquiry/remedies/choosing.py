"""Choosing a remedy: reads what must be known of the target, then applies the rule."""

import contextlib
from collections.abc import Sequence

from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.inquiry.keys import key_of
from stellwerk.inquiry.model import Change, Conclusion, ObjectRef
from stellwerk.inquiry.remedies import store
from stellwerk.inquiry.remedies.catalogue import Catalogue
from stellwerk.inquiry.remedies.choice import Choice, Chosen
from stellwerk.inquiry.remedies.executors.ownership import Owned, owner
from stellwerk.inquiry.remedies.executors.patches import earlier_of
from stellwerk.inquiry.remedies.remedy import Remedy, RemedyState
from stellwerk.inquiry.remedies.selection import Circumstances, Tries, obstacles, select
from stellwerk.inquiry.remedies.selection import chosen as choice_of
from stellwerk.inquiry.remedies.workflow import Precondition, Workflow
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.deploying import Deployer
from stellwerk.release.kinship import made_by
from stellwerk.release.objects import Body
from stellwerk.release.operations.record import Operation, OperationState, Release, UnknownOperation

HISTORY = 200
SLACK_US = MICROSECONDS
LATELY_US = 86_400 * MICROSECONDS
"""A remedy that did not help is not chosen again for the same target for a day."""


class Chooser:
    """See the module. Methods may raise DatabaseUnavailable; what the cluster does not tell does not hold."""

    def __init__(self, database: Database, catalogue: Catalogue, deployer: Deployer, clock: Clock) -> None:
        self._database = database
        self._catalogue = catalogue
        self._deployer = deployer
        self._clock = clock

    async def choose(self, conclusion: Conclusion) -> Chosen:
        """Return what fits, if anything does."""
        at = await self.circumstances(conclusion)
        chosen = select(conclusion, at, await self._catalogue.list())
        return replace(chosen, release=at.release, released_by=at.released_by)

    async def options(self, chosen: Chosen) -> Sequence[Workflow]:
        """List the workflows that fit, the chosen one first."""
        first = [] if chosen.choice is None else [chosen.choice.workflow_id]
        known = {one.id: one for one in await self._catalogue.list()}
        ids = [*first, *(one.workflow_id for one in chosen.alternatives)]
        return [known[one] for one in ids if one in known]

    async def prefer(self, conclusion: Conclusion, workflow_id: str) -> Choice | None:
        """Return the choice of this workflow; None if something stands against it."""
        at = await self.circumstances(conclusion)
        found = next((one for one in await self._catalogue.list() if one.id == workflow_id), None)
        if found is None or obstacles(found, conclusion, at):
            return None
        return choice_of(found, conclusion, at)

    async def circumstances(self, conclusion: Conclusion) -> Circumstances:
        """Read what the rule wants to know beside the cause."""
        now_us = self._clock.now_us()
        target = conclusion.remediation_target
        if target is None:
            return Circumstances(now_us=now_us)
        holds: set[Precondition] = set()
        brought: Release | None = None
        with contextlib.suppress(ClusterError):
            live = await self._deployer.cluster.get(key_of(target))
            holds = await self._of_cluster(conclusion, target, live)
            owned = await owner(self._deployer, target, live)
            releases = [] if owned is None else await self._releases(owned)
            holds.add("not_managed" if owned is None else "managed")
            if any(one.result is OperationState.SUCCEEDED for one in releases[1:]):
                holds.add("earlier_release")
            brought = await self._brought(releases, conclusion.introduced_by)
            if brought is not None and brought is releases[0]:
                holds.add("introduced_by_release")
        past = await self._database.read(lambda: store.tried(conclusion.cause, HISTORY))
        tries = tries_of(past, target, now_us)
        if brought is None:
            return Circumstances(frozenset(holds), tries, now_us)
        return Circumstances(frozenset(holds), tries, now_us, brought.revision, brought.by)

    async def _of_cluster(
        self, conclusion: Conclusion, target: ObjectRef, live: Body | None
    ) -> set[Precondition]:
        holds: set[Precondition] = {"missing" if live is None else "present"}
        if not conclusion.detected_labels.get("gitOpsManaged"):
            holds.add("not_gitops")
        if conclusion.facts.get("regression"):
            holds.add("regression")
        if live is not None and target.kind == "Deployment" and await self._has_earlier(live):
            holds.add("earlier_revision")
        return holds

    async def _releases(self, owned: Owned) -> Sequence[Release]:
        return await self._deployer.operations.releases(self._deployer.identity(owned.instance))

    async def _brought(self, releases: Sequence[Release], change: Change | None) -> Release | None:
        """Return the release that brought a change: the one whose operation ran when it was made."""
        if change is None:
            return None
        for one in releases:
            if change.release is not None:
                if change.release == one.revision:
                    return one
                continue
            operation = await self._operation(one)
            begun = one.at if operation is None else operation.started_at or operation.requested_at
            # The cluster's instants are whole seconds.
            if begun - SLACK_US <= change.at <= one.at + SLACK_US:
                return one
        return None

    async def _operation(self, release: Release) -> Operation | None:
        try:
            return await self._deployer.operations.get(release.operation)
        except UnknownOperation:
            return None

    async def _has_earlier(self, live: Body) -> bool:
        namespace = live["metadata"].get("namespace")
        sets = await self._deployer.cluster.list(Kind("ReplicaSet", "apps"), namespace=namespace)
        return earlier_of(made_by(live, sets)) is not None


def tries_of(past: Sequence[Remedy], target: ObjectRef, now_us: int) -> dict[str, Tries]:
    """Count how workflows went for a cause."""
    found: dict[str, Tries] = {}
    for one in past:
        tries = found.get(one.choice.workflow_id, Tries())
        helped = one.state is RemedyState.SUCCEEDED
        lately = one.target[:3] == target[:3] and now_us - one.requested_at < LATELY_US
        found[one.choice.workflow_id] = Tries(
            tries.helped + helped,
            tries.failed + (not helped),
            tries.failed_here or (lately and not helped),
        )
    return found
