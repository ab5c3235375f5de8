"""Presence: what silence means, by the server's clock.

    online ──late_after──▶ late ──offline_after──▶ offline
       ◀────────── any sign of life ───────────────┘

Silence counts from the last sign of life, or from the start of the server if that is later: agents could not
be heard while nobody listened, so after a restart everyone gets the full intervals again. Silence only makes
presence worse; only a sign of life makes it better.
"""

from dataclasses import replace

import msgspec

from stellwerk.clock import MICROSECONDS
from stellwerk.fleet.model import NODES, Presence
from stellwerk.settings import FleetSettings


class PresenceRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long a silence, in microseconds, makes an instance late and offline."""

    late_after_us: int
    offline_after_us: int


class Paces(msgspec.Struct, frozen=True, kw_only=True):
    """The rules by how a group joined: instances that are dialled report, and are missed, much sooner."""

    usual: PresenceRules
    dialled: PresenceRules

    def of(self, joined_through: str) -> PresenceRules:
        """Return the rules of groups that joined through an interface."""
        return self.dialled if joined_through == NODES else self.usual


def paces(settings: FleetSettings, node_interval_s: float) -> Paces:
    """Derive the rules of both kinds; nodes may miss as many heartbeats as others, at their own interval."""
    sooner = replace(settings, heartbeat_interval_s=node_interval_s)
    return Paces(usual=presence_rules(settings), dialled=presence_rules(sooner))


def presence_rules(settings: FleetSettings) -> PresenceRules:
    """Derive the rules from the interval and the numbers of missed heartbeats."""
    interval_us = int(settings.heartbeat_interval_s * MICROSECONDS)
    return PresenceRules(
        late_after_us=interval_us * settings.late_after,
        offline_after_us=interval_us * settings.offline_after,
    )


def project(seen_at: int, now_us: int, rules: PresenceRules, started_at: int) -> Presence:
    """Tell what the silence since `seen_at` means, for a server that listens since `started_at`."""
    silence_us = now_us - max(seen_at, started_at)
    if silence_us >= rules.offline_after_us:
        return Presence.OFFLINE
    if silence_us >= rules.late_after_us:
        return Presence.LATE
    return Presence.ONLINE


def last_heard_limit(worse: Presence, now_us: int, rules: PresenceRules, started_at: int) -> int | None:
    """Return the latest `seen_at` that `project` calls at least as bad as `worse`; None while nobody can be.

    It is `project` turned round, so that an index can find those who fell silent.
    """
    allowed_us = rules.late_after_us if worse is Presence.LATE else rules.offline_after_us
    return now_us - allowed_us if now_us - started_at >= allowed_us else None
