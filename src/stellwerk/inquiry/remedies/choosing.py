"""Choosing a remedy: reads what must be known of the target, then applies the rule."""

from collections.abc import Sequence

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.inquiry.keys import key_of
from stellwerk.inquiry.model import Change, Conclusion, ObjectRef
from stellwerk.inquiry.remedies import store
from stellwerk.inquiry.remedies.catalogue import Catalogue
from stellwerk.inquiry.remedies.choice import Chosen
from stellwerk.inquiry.remedies.executors.ownership import Owned, owner
from stellwerk.inquiry.remedies.executors.patches import earlier_of
from stellwerk.inquiry.remedies.remedy import Remedy, RemedyState
from stellwerk.inquiry.remedies.selection import Circumstances, Tries, select
from stellwerk.inquiry.remedies.workflow import Precondition
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.deploying import Deployer
from stellwerk.release.kinship import made_by
from stellwerk.release.objects import Body
from stellwerk.release.operations.record import OperationState, Release

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
        return select(conclusion, await self.circumstances(conclusion), await self._catalogue.list())

    async def circumstances(self, conclusion: Conclusion) -> Circumstances:
        """Read what the rule wants to know beside the cause."""
        now_us = self._clock.now_us()
        target = conclusion.remediation_target
        if target is None:
            return Circumstances(now_us=now_us)
        try:
            holds = await self._holds(conclusion, target)
        except ClusterError:
            holds = frozenset()
        past = await self._database.read(lambda: store.tried(conclusion.cause, HISTORY))
        return Circumstances(holds, tries_of(past, target, now_us), now_us)

    async def _holds(self, conclusion: Conclusion, target: ObjectRef) -> frozenset[Precondition]:
        live = await self._deployer.cluster.get(key_of(target))
        holds: set[Precondition] = {"missing" if live is None else "present"}
        if not conclusion.detected_labels.get("gitOpsManaged"):
            holds.add("not_gitops")
        if conclusion.facts.get("regression"):
            holds.add("regression")
        owned = await owner(self._deployer, target, live)
        if owned is None:
            holds.add("not_managed")
            if live is not None and target.kind == "Deployment" and await self._has_earlier(live):
                holds.add("earlier_revision")
        else:
            holds |= {"managed", *await self._of_releases(owned, conclusion.introduced_by)}
        return frozenset(holds)

    async def _of_releases(self, owned: Owned, change: Change | None) -> set[Precondition]:
        """Tell whether there is a release to go back to, and whether the newest one brought the change."""
        identity = self._deployer.identity(owned.instance)
        releases = await self._deployer.operations.releases(identity)
        holds: set[Precondition] = set()
        if any(one.result is OperationState.SUCCEEDED for one in releases[1:]):
            holds.add("earlier_release")
        if change is not None and releases and await self._brought(releases[0], change):
            holds.add("introduced_by_release")
        return holds

    async def _brought(self, newest: Release, change: Change) -> bool:
        if change.release is not None:
            return change.release == newest.revision
        operation = await self._deployer.operations.get(newest.operation)
        begun = operation.started_at or operation.requested_at
        # The cluster's instants are whole seconds.
        return begun - SLACK_US <= change.at <= newest.at + SLACK_US

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
