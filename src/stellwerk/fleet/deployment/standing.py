"""How a deployment agent stands: online, degraded with its reasons, or offline.

A projection of what the fleet knows and what the agent said, made when somebody looks; nothing is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stellwerk.clock import MICROSECONDS
from stellwerk.fleet.deployment.record import DeploymentAgent, Status
from stellwerk.fleet.model import AgentView, Presence

FULL_DISK = 0.9
CERTIFICATE_ENDS_S = 900
"""Renewed after two thirds of its life, a certificate never comes so close to its end."""
CLOCK_SKEW_S = 300.0


class Standing(StrEnum):
    """The published words."""

    ONLINE = "online"
    OFFLINE = "offline"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Observed:
    """What others know of the agent."""

    certificate_ends_at: int | None = None
    cloned_at: int | None = None
    """When a long superseded certificate was presented."""
    conflicting: bool = False
    """Whether two processes speak for it."""


@dataclass(frozen=True, slots=True)
class Stands:
    """Where an agent stands and why; no reasons where it is online."""

    standing: Standing
    reasons: tuple[str, ...] = ()


def stands(
    agent: DeploymentAgent, view: AgentView | None, observed: Observed, now_us: int, interval_us: int
) -> Stands:
    """Project an agent. Three missed intervals are the fleet's `late`; from one on it is degraded."""
    status = agent.reported.status
    if view is None or view.presence is not Presence.ONLINE:
        return Stands(Standing.OFFLINE, ("heartbeat.missing",))
    if status is Status.STOPPED:
        return Stands(Standing.OFFLINE, ("agent.stopped",))
    reasons = list(agent.reported.reasons)
    if status is not Status.HEALTHY:
        reasons.append(f"agent.{status.value}")
    # A half more, because a heartbeat takes its time.
    if now_us - view.seen_at > interval_us * 3 // 2:
        reasons.append("heartbeat.late")
    reasons += _of_load(view.load)
    if abs(agent.reported.clock_skew_s) > CLOCK_SKEW_S:
        reasons.append("clock.skew")
    if observed.certificate_ends_at is not None and (
        observed.certificate_ends_at - now_us <= CERTIFICATE_ENDS_S * MICROSECONDS
    ):
        reasons.append("certificate.ending")
    if observed.cloned_at is not None:
        reasons.append("certificate.clone_suspected")
    if observed.conflicting:
        reasons.append("session.conflict")
    return Stands(Standing.DEGRADED if reasons else Standing.ONLINE, tuple(dict.fromkeys(reasons)))


def _of_load(load: Mapping[str, float]) -> list[str]:
    return ["disk.full"] if load.get("disk_usage", 0.0) >= FULL_DISK else []
