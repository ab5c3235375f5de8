"""Refusals reach the journal, and floods do not."""

import json

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.http.audit import RefusalAudit, Refused
from stellwerk.journal.event import Event, Retention
from support.clock import FakeClock


class Recorded:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    async def record(self, event: Event) -> None:
        if self.broken:
            raise DatabaseUnavailable("gone")
        self.events.append(event)


def refused(peer: str = "10.0.0.1") -> Refused:
    return Refused("main", 403, "missing_scope", "POST", "/tasks/submit", peer, "key:1", "r-1")


async def test_a_refusal_is_recorded_as_an_audit_event() -> None:
    recorded = Recorded()
    audit = RefusalAudit(recorded, FakeClock())
    await audit.start()
    audit.note(refused())
    await audit.stop()
    [event] = recorded.events
    assert (event.kind, event.retention, event.principal) == ("access.refused", Retention.AUDIT, "key:1")
    assert json.loads(event.data) == {
        "listener": "main",
        "status": 403,
        "code": "missing_scope",
        "method": "POST",
        "path": "/tasks/submit",
        "peer": "10.0.0.1",
        "request_id": "r-1",
        "suppressed": 0,
    }


async def test_a_flood_is_counted_instead_of_recorded() -> None:
    recorded, clock = Recorded(), FakeClock()
    audit = RefusalAudit(recorded, clock)
    await audit.start()
    for _ in range(10_000):
        audit.note(refused())
    clock.advance(10)
    audit.note(refused())
    await audit.stop()
    assert len(recorded.events) <= 21
    assert (
        sum(json.loads(event.data)["suppressed"] for event in recorded.events) + len(recorded.events)
        == 10_001
    )


async def test_many_addresses_together_are_bounded_too() -> None:
    recorded = Recorded()
    audit = RefusalAudit(recorded, FakeClock())
    await audit.start()
    for number in range(1_000):
        audit.note(refused(f"10.0.{number // 250}.{number % 250}"))
    await audit.stop()
    assert len(recorded.events) == 200


async def test_a_refusal_does_not_wait_for_the_database() -> None:
    recorded = Recorded()
    recorded.broken = True
    audit = RefusalAudit(recorded, FakeClock())
    await audit.start()
    audit.note(refused())
    await audit.stop()
    recorded.broken = False
    await audit.start()
    audit.note(refused("10.0.0.2"))
    await audit.stop()
    assert [json.loads(event.data)["suppressed"] for event in recorded.events] == [1]
