"""What watching tells the journal, in the same shape as operations do."""

from typing import Any

import msgspec

from stellwerk.journal.event import Event, Retention
from stellwerk.release.objects import Key
from stellwerk.release.ownership import Identity
from stellwerk.release.watching.drift import Drift, DriftKind
from stellwerk.release.watching.record import Pause, Told
from stellwerk.release.watching.warnings import Warned

_DRIFTED = {
    DriftKind.CHANGED: "Object is not as it was applied",
    DriftKind.MISSING: "Object is missing",
    DriftKind.TAKEN: "Object belongs to somebody else now",
}


def unhealthy(identity: Identity, key: Key, told: Told) -> Event:
    """Say that an object has a trouble, or another one."""
    return _event(
        identity,
        "object.unhealthy",
        "error",
        told.message or told.code,
        key=key,
        error=told.code,
        service=told.service,
        reason=told.code,
    )


def recovered(identity: Identity, key: Key, before: Told) -> Event:
    """Say that an object is well again."""
    return _event(
        identity,
        "object.recovered",
        "success",
        "Object is healthy again",
        key=key,
        service=before.service,
        reason=before.code,
    )


def warning(identity: Identity, warned: Warned) -> Event:
    """Pass on a warning of the cluster; it is about the object of ours that it comes from."""
    return _event(
        identity,
        "object.warned",
        "warning",
        f"{warned.reason}: {warned.message}" if warned.message else warned.reason,
        key=warned.root,
        reason=warned.reason,
        object=str(warned.about),
        count=warned.times,
        source=warned.source,
    )


def drifted(identity: Identity, drift: Drift) -> Event:
    """Say that an object is not as it was applied."""
    what = ", ".join(drift.fields[:5])
    message = f"{_DRIFTED[drift.kind]}: {what}" if what else _DRIFTED[drift.kind]
    return _event(
        identity,
        "object.drifted",
        "warning",
        f"{message} (set by {drift.owner})" if drift.owner else message,
        key=drift.key,
        service=drift.service,
        reason="Drift",
        drift=drift.kind.value,
        fields=list(drift.fields),
        owner=drift.owner,
    )


def restored(identity: Identity, drift: Drift) -> Event:
    """Say that an object is as it was applied again, whoever did it."""
    return _event(
        identity,
        "object.restored",
        "info",
        "Object is as it was applied again",
        key=drift.key,
        service=drift.service,
    )


def paused(identity: Identity, service: str, pause: Pause) -> Event:
    """Say that the reconciler leaves a service alone."""
    return _event(
        identity,
        "reconciler.paused",
        "info",
        f"Reconciler paused for {service}" + (f": {pause.why}" if pause.why else ""),
        by=pause.by,
        service=service,
    )


def resumed(identity: Identity, service: str, by: str) -> Event:
    """Say that the reconciler sees to a service again."""
    message = f"Reconciler resumed for {service}"
    return _event(identity, "reconciler.resumed", "info", message, by=by, service=service)


def _event(
    identity: Identity,
    kind: str,
    level: str,
    message: str,
    *,
    key: Key | None = None,
    error: str = "",
    by: str | None = None,
    **more: Any,
) -> Event:
    details = {"operation": "watch", "instance": identity.instance}
    data: dict[str, Any] = {"type": level, "message": message, "details": details | more}
    if key is not None:
        data["resourceKey"] = str(key)
    if error:
        data["error"] = error
    return Event(
        f"deploy.{kind}",
        Retention.TASK if by is None else Retention.AUDIT,
        group=None if key is None else str(key),
        principal=by,
        application=identity.application,
        data=msgspec.json.encode(data).decode(),
    )
