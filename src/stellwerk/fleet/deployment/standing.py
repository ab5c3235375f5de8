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
class Expected:
    """What is expected of every agent, in microseconds."""

    interval_us: int
    """Between two heartbeats, as agents are told now; it grows with their number."""
    offline_after_us: int


@dataclass(frozen=True, slots=True)
class Stands:
    """Where an agent stands and why; no reasons where it is online."""

    standing: Standing
    reasons: tuple[str, ...] = ()


def stands(
    agent: DeploymentAgent, view: AgentView | None, observed: Observed, now_us: int, expected: Expected
) -> Stands:
    """Project an agent: from one missed heartbeat on it is degraded, after several it is offline."""
    status = agent.reported.status
    if view is None or _is_silent(view, now_us, expected):
        return Stands(Standing.OFFLINE, ("heartbeat.missing",))
    if status is Status.STOPPED:
        return Stands(Standing.OFFLINE, ("agent.stopped",))
    reasons = list(agent.reported.reasons)
    if status is not Status.HEALTHY:
        reasons.append(f"agent.{status.value}")
    # A half more, because a heartbeat takes its time.
    if now_us - view.seen_at > expected.interval_us * 3 // 2:
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


def _is_silent(view: AgentView, now_us: int, expected: Expected) -> bool:
    # The fleet counts in its own interval, and knows since when this server listens. Where the interval has
    # grown, what it calls late may be in time.
    return view.presence is not Presence.ONLINE and now_us - view.seen_at >= expected.offline_after_us


def keeps_leases(silence_us: int, expected: Expected, lease_us: int, grace_us: int) -> bool:
    """Tell whether a silent agent's leases are renewed without it.

    They are to end when it has been offline for the grace, so the last renewal is a lease's length before.
    """
    last_us = expected.offline_after_us + grace_us - lease_us
    return expected.interval_us < silence_us <= last_us


def _of_load(load: Mapping[str, float]) -> list[str]:
    return ["disk.full"] if load.get("disk_usage", 0.0) >= FULL_DISK else []
