"""The units that move an agent's certificates from state to state, each with its audit event."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append
from stellwerk.trust.certificates import store
from stellwerk.trust.certificates.record import LIVE, Record, State

AGENT_PRINCIPAL = "agent:"
"""Begins the principal id of an agent that was recognised by its certificate."""
EVERY = 0
"""Ended certificates too."""
CLONE_PAUSE_US = 3_600_000_000
"""A clone that keeps trying is journalled once an hour."""


def activate(serial: str, agent_id: str, now_us: int) -> Unit[list[Record]]:
    """Make a certificate current at its first use; return what changed, nothing if it was done before."""
    records = yield from store.lock_agent(agent_id, now_us)
    changed = yield from store.update(promotion(records, serial, now_us), now_us)
    if changed:
        data = {"agentId": agent_id, "serial": serial}
        yield from append(audit("certificate.activated", AGENT_PRINCIPAL + agent_id, data), now_us)
    return changed


def promotion(records: Sequence[Record], serial: str, now_us: int) -> list[Record]:
    """Plan a first use: the certificate becomes active, older ones superseded.

    One that was issued after it stays: the agent may have asked twice and use that one next.
    """
    used = next((one for one in records if one.serial == serial and one.state is State.ISSUED), None)
    if used is None:
        return []
    older = [
        one
        for one in records
        if one.serial != serial and one.state in LIVE and one.intended_at <= used.intended_at
    ]
    return [
        replace(used, state=State.ACTIVE, activated_at=now_us),
        *(replace(one, state=State.SUPERSEDED, superseded_at=now_us) for one in older),
    ]


def revoke(agent_id: str, reason: str, by: str, now_us: int) -> Unit[list[Record]]:
    """Revoke every certificate of the agent, ended ones too (they may be renewable); return what changed."""
    records = yield from store.lock_agent(agent_id, EVERY)
    good = [one for one in records if one.state is not State.REVOKED]
    changed = yield from store.update(
        [replace(one, state=State.REVOKED, revoked_at=now_us, reason=reason) for one in good], now_us
    )
    if changed:
        data = {"agentId": agent_id, "serials": [one.serial for one in changed], "reason": reason}
        yield from append(audit("certificate.revoked", by, data), now_us)
    return changed


def suspect(serial: str, agent_id: str, now_us: int) -> Unit[list[Record]]:
    """Note that a long superseded certificate was presented; return what changed."""
    records = yield from store.lock_agent(agent_id, now_us)
    shown = [one for one in records if one.serial == serial and one.state is State.SUPERSEDED]
    fresh = [one for one in shown if one.cloned_at is None or one.cloned_at + CLONE_PAUSE_US <= now_us]
    changed = yield from store.update([replace(one, cloned_at=now_us) for one in fresh], now_us)
    if changed:
        data = {"agentId": agent_id, "serial": serial, "supersededAt": changed[0].superseded_at}
        yield from append(audit("certificate.clone_suspected", AGENT_PRINCIPAL + agent_id, data), now_us)
    return changed


def audit(kind: str, principal: str, data: Mapping[str, object]) -> Event:
    """Make an audit event about a certificate."""
    return Event(kind, Retention.AUDIT, principal=principal, data=msgspec.json.encode(data).decode())
