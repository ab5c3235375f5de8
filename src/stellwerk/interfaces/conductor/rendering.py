"""From what the subject knows to what is shown."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from stellwerk.http.instants import iso
from stellwerk.interfaces.conductor.wire import operations as wire
from stellwerk.interfaces.conductor.wire import releases as wire_releases
from stellwerk.release.comparing import HIDDEN, FieldChange
from stellwerk.release.objects import Body
from stellwerk.release.operations.record import Failure, ObjectResult, ObjectStatus, Operation, Release
from stellwerk.release.parameters.differing import Difference
from stellwerk.release.plan import Plan, Step

_DONE = (ObjectStatus.HEALTHY, ObjectStatus.DELETED, ObjectStatus.KEPT)


def instant(at_us: int) -> str:
    """Write an instant as the published interface does: `2024-01-01T00:00:00Z`."""
    return iso(at_us).replace("+00:00", "Z").replace(".000000Z", "Z")


def instant_or_none(at_us: int | None) -> str | None:
    """Write an instant that may be missing."""
    return None if at_us is None else instant(at_us)


def operation(one: Operation) -> wire.ShownOperation:
    """Show an operation."""
    return wire.ShownOperation(
        id=one.id,
        kind=one.kind.value,
        application=one.application,
        instance=one.instance,
        services=list(one.services),
        state=one.state.value,
        by=one.by,
        note=one.note,
        requested_at=instant(one.requested_at),
        started_at=instant_or_none(one.started_at),
        finished_at=instant_or_none(one.finished_at),
        attempt=one.attempt,
        progress=_progress(one.objects),
        objects=[_object(each) for each in one.objects],
        failure=None if one.failure is None else _failure(one.failure),
        release=one.release,
        revision=one.revision,
        rolled_back_by=one.rolled_back_by,
    )


def _progress(objects: Iterable[ObjectResult]) -> wire.Progress:
    counts = Counter(one.status for one in objects)
    done = sum(counts[status] for status in _DONE)
    return wire.Progress(total=counts.total(), done=done, failed=counts[ObjectStatus.FAILED])


def _object(one: ObjectResult) -> wire.ShownObject:
    return wire.ShownObject(
        resource=str(one.key),
        api_group=one.key.group,
        service=one.service,
        action=one.action,
        status=one.status.value,
        message=one.message,
        reason=one.reason,
    )


def _failure(one: Failure) -> wire.ShownFailure:
    return wire.ShownFailure(
        code=one.code,
        error=one.error,
        message=one.message,
        resource=None if one.resource is None else str(one.resource),
        certain=one.certain,
    )


def plan(made: Plan, action: wire.Recorded, instance: str) -> wire.ShownPlan:
    """Show what an operation would do."""
    removals = len(made.waves)
    steps = [_step(one, number) for number, wave in enumerate(made.waves) for one in wave]
    steps += [_step(one, removals + number) for number, stage in enumerate(made.removals) for one in stage]
    return wire.ShownPlan(
        action=action,
        instance=instance,
        blocked=bool(made.obstacles),
        summary=dict(sorted(Counter(one.action for one in steps).items())),
        steps=steps,
    )


def _step(one: Step, wave: int) -> wire.ShownStep:
    return wire.ShownStep(
        resource=str(one.key),
        api_group=one.key.group,
        service=one.service,
        action=one.action.value,
        wave=wave,
        changes=changes(one.changes),
        message=one.message,
        owner=one.owner,
    )


def changes(found: Iterable[FieldChange]) -> list[wire.ShownChange]:
    """Show changes of fields; those of Secrets are hidden already."""
    return [wire.ShownChange(path=one.path, old=one.old, new=one.new) for one in found]


def differences(found: Iterable[Difference]) -> list[wire.ShownChange]:
    """Show how parameters differ."""
    return [wire.ShownChange(path=one.path, old=one.before, new=one.after) for one in found]


def release(one: Release) -> wire_releases.ShownRelease:
    """Show a release."""
    return wire_releases.ShownRelease(**_release(one))


def release_with(one: Release, objects: list[wire_releases.ReleasedObject]) -> wire_releases.ReleaseContents:
    """Show a release with its objects; parameters are added for those who may read them."""
    return wire_releases.ReleaseContents(**_release(one), objects=objects)


def _release(one: Release) -> dict[str, Any]:
    return {
        "revision": one.revision,
        "operation": one.operation,
        "kind": one.kind.value,
        "result": one.result.value,
        "at": instant(one.at),
        "by": one.by,
        "note": one.note,
        "services": one.contents,
    }


def without_secrets(body: Body) -> Body:
    """Return an object whose values are hidden if it is a Secret."""
    if body.get("kind") != "Secret" or body.get("apiVersion") != "v1":
        return body
    hidden = {name: _hidden(body[name]) for name in ("data", "stringData") if name in body}
    return body | hidden


def _hidden(values: object) -> object:
    return dict.fromkeys(values, HIDDEN) if isinstance(values, Mapping) else HIDDEN
