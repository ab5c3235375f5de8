"""From what watching knows to what is shown."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from stellwerk.clock import MICROSECONDS
from stellwerk.interfaces.conductor import rendering
from stellwerk.interfaces.conductor.rendering import instant
from stellwerk.interfaces.conductor.wire import watching as wire
from stellwerk.release.health import Status
from stellwerk.release.listing import Listed
from stellwerk.release.objects import DEFAULT_NAMESPACE
from stellwerk.release.parameters.tracing import Traced
from stellwerk.release.watching.record import (
    Error,
    Node,
    Pause,
    Reconciliation,
    Seen,
    ServiceHealth,
    ServiceState,
)

_STATUS: Mapping[Status, wire.Status] = {
    "healthy": "healthy",
    "suspended": "healthy",
    "progressing": "unhealthy",
    "degraded": "unhealthy",
    "missing": "unhealthy",
    "unknown": "unknown",
}


def health(one: ServiceHealth, described: Listed | None) -> wire.HealthOfService:
    """Show how a service is."""
    return wire.HealthOfService(**_health(one, described))


def tree(one: ServiceHealth, described: Listed | None, nodes: Iterable[Node]) -> wire.ServiceTree:
    """Show a service with its objects."""
    return wire.ServiceTree(**_health(one, described), objects=[_node(node) for node in nodes])


def drift(seen: Seen) -> wire.ShownDrift:
    """Show an object that is not as it was applied."""
    one = seen.drift
    return wire.ShownDrift(
        resource=str(one.key),
        api_group=one.key.group,
        service=one.service,
        kind=one.kind.value,
        fields=list(one.fields),
        owner=one.owner,
        message=one.message,
        seen_at=instant(seen.at),
    )


def state(one: ServiceState, instance: str) -> wire.ShownState:
    """Show what is known of a service over time; parameters are added for those who may read them."""
    return wire.ShownState(
        service=one.service,
        instance=instance,
        state=one.state.value,
        operation=one.operation,
        health=one.health.status,
        message=one.health.message,
        drift=[drift(seen) for seen in one.drift],
        paused=pause(one.paused),
        last_reconciliation=_reconciliation(one.last_reconciliation),
        errors=[_error(each) for each in one.errors],
    )


def pause(one: Pause | None) -> wire.ShownPause | None:
    """Show who paused a service, if anybody did."""
    return None if one is None else wire.ShownPause(by=one.by, at=instant(one.at), why=one.why)


def parameters(found: Iterable[Traced]) -> list[wire.ShownParameterChange]:
    """Show what changes of parameters meant for a service."""
    return [
        wire.ShownParameterChange(
            version=one.version.version,
            at=instant(one.version.at),
            by=one.version.by,
            why=one.version.why,
            changes=rendering.differences(one.changes),
        )
        for one in found
    ]


def _place(one: ServiceHealth, described: Listed | None) -> tuple[str, int]:
    if one.installed or described is None:
        return one.namespace or DEFAULT_NAMESPACE, one.port
    return described.namespace, described.port


def _health(one: ServiceHealth, described: Listed | None) -> dict[str, Any]:
    namespace, port = _place(one, described)
    found = one.health
    return {
        "name": one.service,
        "namespace": namespace,
        "port": port,
        "status": _STATUS[found.status],
        "last_checked": instant(one.checked_at),
        "installed": one.installed,
        "health": found.status,
        "message": found.message,
        "reason": found.reason.code if found.reason else "",
        "resource": None if one.worst is None else str(one.worst),
        "drifted": one.drifted,
    }


def _node(one: Node) -> wire.ShownNode:
    return wire.ShownNode(
        resource=str(one.key),
        api_group=one.key.group,
        health=one.health.status,
        message=one.health.message,
        reason=one.health.reason.code if one.health.reason else "",
        created_at=_written(one.created_at),
        described=one.owned,
        drift=one.drift.kind.value if one.drift else None,
        children=[_node(child) for child in one.children],
    )


def _reconciliation(one: Reconciliation | None) -> wire.ShownReconciliation | None:
    if one is None:
        return None
    return wire.ShownReconciliation(
        at=instant(one.at),
        kind=one.kind.value if one.kind else "look",
        result=one.result.value,
        operation=one.operation,
    )


def _error(one: Error) -> wire.ShownError:
    return wire.ShownError(
        resource=None if one.key is None else str(one.key),
        reason=one.code,
        message=one.message,
        first_at=instant(one.first_at),
        last_at=instant(one.last_at),
        times=one.times,
        operation=one.operation,
    )


def _written(at: datetime | None) -> str | None:
    return None if at is None else instant(int(at.timestamp()) * MICROSECONDS)
