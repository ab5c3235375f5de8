"""Sessions of investigations, on each engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from stellwerk.database.database import Database
from stellwerk.inquiry.model import Conclusion, Outcome
from stellwerk.inquiry.remedies.choice import Chosen
from stellwerk.inquiry.sessions import events
from stellwerk.inquiry.sessions.retention import Retention
from stellwerk.inquiry.sessions.session import (
    AlreadyEnded,
    AtCapacity,
    NotEnded,
    Phase,
    SessionState,
    UnknownSession,
)
from stellwerk.release.clusters.errors import ClusterUnavailable, NotSelected
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from support.clock import FakeClock
from support.inquiry import BAD_IMAGE, Office, ScriptedDetective, opening

LIMIT_S = 20.0


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    office = Office(database)
    await office.start()
    yield office
    await office.stop()


async def looking(office: Office) -> None:
    """Wait until a detective that is held has begun."""
    async with asyncio.timeout(LIMIT_S):
        await office.detective.looking.wait()


async def test_session_ends_with_what_was_concluded(office: Office):
    opened = await office.investigations.open(opening(), LOCAL.id)
    assert opened.state is SessionState.PENDING
    session = await office.investigations.wait(opened.id, LIMIT_S)
    assert (session.state, session.phase, session.error) == (SessionState.COMPLETED, Phase.DONE, None)
    assert session.conclusion == BAD_IMAGE
    assert session.spent.calls == 7
    assert await office.investigations.result(opened.id, LOCAL) == session


async def test_journal_tells_of_each_step_under_its_published_name(office: Office):
    opened = await office.investigations.open(opening(), LOCAL.id)
    await office.investigations.wait(opened.id, LIMIT_S)
    told = await office.told(opened.id)
    assert [kind for kind in told if kind != events.PROGRESS] == [
        events.STARTED,
        events.ENRICHED,
        events.CAUSE_FOUND,
        events.RESPONDED,
        events.COMPLETED,
    ]
    assert events.PROGRESS in told


async def test_progress_is_seen_while_evidence_is_collected(database: Database):
    office = Office(database, ScriptedDetective(held=True))
    await office.start()
    opened = await office.investigations.open(opening(), LOCAL.id)
    async with asyncio.timeout(LIMIT_S):
        async for session in office.investigations.follow(opened.id):
            if session.progress == "Analyzing pod logs...":
                break
    assert session.state is SessionState.INVESTIGATING
    with pytest.raises(NotEnded):
        await office.investigations.result(opened.id, LOCAL)
    office.detective.go_on.set()
    assert (await office.investigations.wait(opened.id, LIMIT_S)).state is SessionState.COMPLETED
    await office.stop()


async def test_session_that_was_cut_off_while_collecting_is_collected_again_by_another(database: Database):
    first = Office(database, ScriptedDetective(held=True))
    await first.start()
    opened = await first.investigations.open(opening(), LOCAL.id)
    await looking(first)
    await first.stop()
    second = Office(database, holder="there")
    await second.start()
    session = await second.investigations.wait(opened.id, LIMIT_S)
    assert (session.state, session.attempt, second.detective.collected) == (SessionState.COMPLETED, 2, 1)
    await second.stop()


async def test_session_goes_on_from_stored_evidence_without_collecting_it_again(database: Database):
    told = asyncio.Event()

    class Waiting:
        async def choose(self, conclusion: Conclusion) -> Chosen:
            told.set()
            await asyncio.Event().wait()
            return Chosen()

    first = Office(database, chooser=Waiting())
    await first.start()
    opened = await first.investigations.open(opening(), LOCAL.id)
    async with asyncio.timeout(LIMIT_S):
        await told.wait()
    await first.stop()
    second = Office(database, holder="there")
    await second.start()
    session = await second.investigations.wait(opened.id, LIMIT_S)
    assert session.conclusion == BAD_IMAGE
    assert (second.detective.collected, second.detective.concluded) == (0, 0)
    assert await second.investigations.evidence(opened.id, LOCAL) is not None
    await second.stop()


async def test_two_replicas_carry_a_session_through_once(database: Database):
    one, other = Office(database, holder="one"), Office(database, holder="other")
    for office in (one, other):
        await office.start()
    opened = [await one.investigations.open(opening(f"inc-{number}"), LOCAL.id) for number in range(8)]
    for session in opened:
        assert (await other.investigations.wait(session.id, LIMIT_S)).state is SessionState.COMPLETED
    assert one.detective.collected + other.detective.collected == 8
    for office in (one, other):
        await office.stop()


async def test_cancelled_session_ends_at_once_and_stays_ended(database: Database):
    office = Office(database, ScriptedDetective(held=True))
    await office.start()
    opened = await office.investigations.open(opening(), LOCAL.id)
    await looking(office)
    cancelled = await office.investigations.cancel(opened.id, LOCAL)
    assert (cancelled.state, cancelled.cancelled_by) == (SessionState.CANCELLED, LOCAL.id)
    office.detective.go_on.set()
    with pytest.raises(AlreadyEnded):
        await office.investigations.cancel(opened.id, LOCAL)
    assert (await office.investigations.wait(opened.id, LIMIT_S)).state is SessionState.CANCELLED
    assert (await office.told(opened.id))[-1] == events.CANCELLED
    await office.stop()


async def test_another_replica_can_cancel_a_session_that_is_under_way(database: Database):
    office, other = Office(database, ScriptedDetective(held=True)), Office(database, holder="other")
    await office.start()
    opened = await office.investigations.open(opening(), LOCAL.id)
    await looking(office)
    await other.investigations.cancel(opened.id, LOCAL)
    async with asyncio.timeout(LIMIT_S):
        await office.detective.left.wait()
    assert (await office.investigations.get(opened.id, LOCAL)).state is SessionState.CANCELLED
    await office.stop()
    await other.stop()


async def test_no_more_sessions_are_opened_than_may_be_under_way(database: Database):
    office = Office(database, ScriptedDetective(held=True), concurrent=2)
    await office.start()
    opened = [await office.investigations.open(opening(), LOCAL.id) for _ in range(2)]
    with pytest.raises(AtCapacity):
        await office.investigations.open(opening(), LOCAL.id)
    assert len(await office.investigations.list(LOCAL)) == 2
    await office.investigations.cancel(opened[0].id, LOCAL)
    await office.investigations.open(opening(), LOCAL.id)
    await office.stop()


async def test_session_past_its_time_fails_and_says_what_it_was_doing(database: Database):
    office = Office(database, ScriptedDetective(held=True), time_limit_s=0.3)
    await office.start()
    opened = await office.investigations.open(opening(), LOCAL.id)
    session = await office.investigations.wait(opened.id, LIMIT_S)
    assert session.state is SessionState.FAILED
    assert session.error == "the time limit of 0.3 s is over, while: Analyzing pod logs..."
    assert (await office.told(opened.id))[-2:] == [events.UNRESPONDED, events.FAILED]
    await office.stop()


async def test_cluster_that_cannot_be_asked_leaves_it_inconclusive(database: Database):
    office = Office(database, ScriptedDetective(error=ClusterUnavailable("connection refused")))
    await office.start()
    opened = await office.investigations.open(opening(), LOCAL.id)
    session = await office.investigations.wait(opened.id, LIMIT_S)
    assert session.conclusion is not None
    assert (session.state, session.conclusion.outcome) == (SessionState.COMPLETED, Outcome.INCONCLUSIVE)
    assert session.conclusion.missing == ("an answer of the cluster: connection refused",)
    await office.stop()


@pytest.mark.parametrize(
    ("error", "told"),
    [(NotSelected(), "no cluster is selected"), (RuntimeError("secret"), "internal error: RuntimeError")],
)
async def test_what_cannot_go_on_fails_with_a_reason(database: Database, error: Exception, told: str):
    office = Office(database, ScriptedDetective(error=error))
    await office.start()
    opened = await office.investigations.open(opening(), LOCAL.id)
    session = await office.investigations.wait(opened.id, LIMIT_S)
    assert session.state is SessionState.FAILED
    assert session.error is not None
    assert told in session.error
    assert "secret" not in session.error
    await office.stop()


async def test_session_is_shown_to_who_asked_for_it_and_to_who_approves(office: Office):
    stranger = Principal("key:a", "a", frozenset({Scope.INCIDENTS_READ, Scope.INCIDENTS_INVESTIGATE}))
    owner = Principal("key:b", "b", frozenset({Scope.INCIDENTS_READ}))
    approver = Principal("key:c", "c", frozenset({Scope.INCIDENTS_APPROVE}))
    opened = await office.investigations.open(opening(), owner.id)
    await office.investigations.wait(opened.id, LIMIT_S)
    for one in (owner, approver, LOCAL):
        assert (await office.investigations.get(opened.id, one)).id == opened.id
    with pytest.raises(UnknownSession):
        await office.investigations.get(opened.id, stranger)
    assert (await office.told(opened.id))[-1] == events.ACCESS_DENIED
    assert await office.investigations.list(stranger) == []
    ours = await office.investigations.open(opening(), "stellwerk", cause_key="shop/web/Crash")
    assert [one.id for one in await office.investigations.list(stranger, limit=1)] == [ours.id]
    assert [one.id for one in await office.investigations.list(owner)] == [ours.id, opened.id]


async def test_finished_sessions_are_removed_after_their_time_with_their_locks(
    office: Office, database: Database
):
    opened = await office.investigations.open(opening(), LOCAL.id)
    await office.investigations.wait(opened.id, LIMIT_S)
    clock = FakeClock(office.tools.clock.now_us())
    retention = Retention(database, clock, days=30.0, holder="here")
    clock.advance(29 * 86_400)
    assert await retention.remove_old() == 0
    clock.advance(2 * 86_400)
    assert await retention.remove_old() == 1
    with pytest.raises(UnknownSession):
        await office.investigations.get(opened.id, LOCAL)
