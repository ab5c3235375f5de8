"""The interface's own words: how processes stand, and what agents call the states of executions."""

from collections.abc import Mapping

from stellwerk.fleet.model import AgentView, Condition, InstanceView, Presence, Standing
from stellwerk.interfaces.nodes.wire.executions import ReportedWord
from stellwerk.interfaces.nodes.wire.nodes import HealthStatus, LifecycleStatus
from stellwerk.traffic.execution import Status

KIND = "node"
READY, STARTING, DEGRADED, OFFLINE = "ready", "starting", "degraded", "offline"
CONDITIONS = {READY: Condition.ACTIVE, STARTING: Condition.INACTIVE, DEGRADED: Condition.ERROR}
"""What a process says of itself; other words are signs of life only."""

REPORTED: Mapping[ReportedWord, Status] = {
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "cancelled": Status.CANCELLED,
    "timeout": Status.TIMEOUT,
    **dict.fromkeys(("pending", "queued", "waiting", "running", "paused"), Status.RUNNING),
}


def health_of(standing: Standing) -> HealthStatus:
    """Say in the published words whether a process can be called."""
    condition, presence = standing
    if presence is Presence.OFFLINE:
        return "inactive"
    match condition:
        case Condition.INACTIVE:
            return "unknown"
        case Condition.ACTIVE | Condition.BUSY:
            return "active" if presence is Presence.ONLINE else "degraded"
        case Condition.ERROR:
            return "degraded"
        case Condition.MAINTENANCE:
            return "inactive"


def lifecycle_of(standing: Standing) -> LifecycleStatus:
    """Say in the published words where a process is in its life."""
    condition, presence = standing
    if presence is Presence.OFFLINE:
        return "offline"
    match condition:
        case Condition.INACTIVE:
            return "starting"
        case Condition.ERROR:
            return "degraded"
        case Condition.ACTIVE | Condition.BUSY | Condition.MAINTENANCE:
            return "ready"


def new_condition(one: InstanceView, said: str | None) -> Condition | None:
    """Tell what a heartbeat changes; None is nothing. An operator's drain outlives what agents say."""
    wanted = CONDITIONS.get(said or "")
    if wanted is None or wanted is one.condition or one.condition is Condition.MAINTENANCE:
        return None
    return wanted


def meant_instance(view: AgentView, instance_id: str | None, version: str | None) -> InstanceView | None:
    """Find the process that speaks: by its id, else the newest of its version, else the only one."""
    if instance_id:
        return next((one for one in view.instances if one.instance == instance_id), None)
    if version:
        return next((one for one in view.instances if one.version == version), None)
    return view.instances[0] if len(view.instances) == 1 else None
