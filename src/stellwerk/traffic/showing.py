"""How versions of an agent stand in the traffic: plain functions from what is known to what is shown."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from stellwerk.fleet.model import BASE_URL, AgentView, Condition, InstanceView, Presence
from stellwerk.traffic.execution import HealthStatus, LifecycleStatus, VersionFigures, VersionStanding
from stellwerk.traffic.weights import Share


class Traits(msgspec.Struct, frozen=True):
    """What is known of an agent beside its registration."""

    shares: Collection[Share]
    unreachable: Collection[str]
    """Instances that could not be dialled and were not heard since."""
    departed: Collection[str]
    figures: Callable[[str], VersionFigures]
    """By version, as is `running`."""
    running: Callable[[str], int]


_HEALTHS: tuple[HealthStatus, ...] = ("active", "degraded", "unknown", "inactive")
_LIVES: Mapping[HealthStatus, LifecycleStatus] = {
    "active": "ready",
    "degraded": "degraded",
    "unknown": "starting",
    "inactive": "offline",
}


def show_versions(view: AgentView, traits: Traits) -> list[VersionStanding]:
    """Tell how the versions of an agent stand, oldest first."""
    percents = {share.version: share.percent for share in traits.shares}
    shown = []
    for one in view.versions:
        instances = [instance for instance in view.instances if instance.version == one.version]
        health = best_health([health_of(instance, traits) for instance in instances])
        shown.append(
            VersionStanding(
                version=one.version,
                weight=one.weight,
                share_percent=percents.get(one.version, 0.0),
                health_status=health,
                lifecycle_status=_LIVES[health],
                base_urls=tuple(
                    instance.endpoints[BASE_URL] for instance in instances if BASE_URL in instance.endpoints
                ),
                last_heartbeat=max((instance.seen_at for instance in instances), default=None),
                instances=tuple(instance.instance for instance in instances),
                registered_at=one.registered_at,
                running=traits.running(one.version),
                figures=traits.figures(one.version),
            )
        )
    return shown


def health_of(one: InstanceView, traits: Traits) -> HealthStatus:
    """Say whether an instance can be called; `unknown` is one that was not ready yet."""
    if one.presence is Presence.OFFLINE or one.instance in traits.unreachable:
        return "inactive"
    if one.instance in traits.departed:
        return "inactive"
    match one.condition:
        case Condition.ACTIVE | Condition.BUSY:
            return "active" if one.presence is Presence.ONLINE else "degraded"
        case Condition.ERROR:
            return "degraded"
        case Condition.INACTIVE:
            return "unknown"
        case Condition.MAINTENANCE:
            return "inactive"


def best_health(found: Collection[HealthStatus]) -> HealthStatus:
    """Return the health of a version: that of its best instance; without any it is inactive."""
    return min(found, key=_HEALTHS.index, default="inactive")
