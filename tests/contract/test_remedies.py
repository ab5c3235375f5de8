"""Remedies on each engine: what was cut off is carried out again, and changes nothing twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from stellwerk.clock import SystemClock
from stellwerk.database.database import Database
from stellwerk.inquiry.model import Conclusion, ObjectRef
from stellwerk.inquiry.remedies.carrying import Tools
from stellwerk.inquiry.remedies.catalogue import Catalogue, packaged
from stellwerk.inquiry.remedies.executors.executor import Order, Performed
from stellwerk.inquiry.remedies.remedy import AlreadyDecided, CannotRemedy, Remedy, RemedyState
from stellwerk.inquiry.remedies.selection import Circumstances, select
from stellwerk.inquiry.remedies.service import Ask, Remedies
from stellwerk.inquiry.remedies.verifying import Verdict
from stellwerk.release.clusters.errors import ClusterUnavailable
from stellwerk.settings import InquirySettings
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from support.inquiry import Office, opening

LIMIT_S = 20.0
HOLDS = frozenset({"present", "not_gitops", "not_managed", "earlier_revision", "regression"})
APPROVER = Principal("key:boss", "boss", frozenset({Scope.INCIDENTS_APPROVE}))


@dataclass
class Counting:
    """Carries out by counting; the same order counts once, as a real executor's does."""

    requires: Scope | None = None
    done: set[str] = field(default_factory=set)
    given: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    held: bool = False
    error: Exception | None = None

    async def preview(self, order: Order) -> tuple[str, ...]:
        return ("count",)

    async def perform(self, order: Order) -> Performed:
        self.given += 1
        self.done.add(order.id)
        self.begun.set()
        if self.held:
            await self.go_on.wait()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return Performed("counted")


class Chooser:
    async def choose(self, conclusion: Conclusion) -> object:
        return select(conclusion, await self.circumstances(conclusion), packaged())

    async def circumstances(self, conclusion: Conclusion) -> Circumstances:
        return Circumstances(HOLDS)


class Well:
    async def verify(self, candidates: Sequence[ObjectRef]) -> Verdict:
        return Verdict(True, "it is healthy")


class Bench:
    """Remedies over a database, for one investigation that is over."""

    def __init__(
        self, database: Database, executor: Counting, *, holder: str = "here", **settings: object
    ) -> None:
        self.office = Office(database, chooser=Chooser(), holder=holder)
        self.executor = executor
        chosen = InquirySettings(**{"environment": "staging", **settings})
        self.remedies = Remedies(
            Tools(
                investigations=self.office.investigations,
                catalogue=Catalogue(database, self.office.journal, SystemClock(), workflows=()),
                chooser=Chooser(),
                executors={"workload.undo": executor},
                verifier=Well(),
                approvers=lambda asked_by, now_us: ["key:boss"],
                database=database,
                journal=self.office.journal,
                clock=SystemClock(),
            ),
            chosen,
            holder=holder,
        )

    async def start(self) -> None:
        await self.office.start()
        await self.remedies.start()

    async def stop(self) -> None:
        await self.remedies.stop()
        await self.office.stop()

    async def request(self) -> Remedy:
        session = await self.office.investigations.open(opening(), LOCAL.id)
        await self.office.investigations.wait(session.id, LIMIT_S)
        return await self.remedies.request(session.id, Ask(), LOCAL)


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    bench = Bench(database, Counting())
    await bench.start()
    yield bench
    await bench.stop()


async def test_remedy_is_carried_out_once_and_verified(bench: Bench):
    asked = await bench.request()
    assert asked.state is RemedyState.APPROVED
    ended = await bench.remedies.wait(asked.id, LIMIT_S)
    assert (ended.state, ended.healthy, ended.message) == (
        RemedyState.SUCCEEDED,
        True,
        "counted; it is healthy",
    )
    assert (bench.executor.given, bench.executor.done) == (1, {asked.id})


async def test_remedy_that_was_cut_off_is_carried_out_by_another_under_the_same_id(database: Database):
    first = Bench(database, Counting(held=True))
    await first.start()
    asked = await first.request()
    async with asyncio.timeout(LIMIT_S):
        await first.executor.begun.wait()
    await first.stop()
    second = Bench(database, Counting(), holder="there")
    await second.start()
    ended = await second.remedies.wait(asked.id, LIMIT_S)
    assert (ended.state, second.executor.done) == (RemedyState.SUCCEEDED, {asked.id})
    await second.stop()


async def test_cluster_that_is_away_for_a_moment_ends_no_remedy(database: Database):
    bench = Bench(database, Counting(error=ClusterUnavailable("connection refused")))
    await bench.start()
    asked = await bench.request()
    ended = await bench.remedies.wait(asked.id, LIMIT_S)
    assert (ended.state, bench.executor.given) == (RemedyState.SUCCEEDED, 2)
    await bench.stop()


async def test_remedy_that_cannot_be_carried_out_fails_and_says_why(database: Database):
    bench = Bench(database, Counting(error=CannotRemedy("gone", "it is not there")))
    await bench.start()
    asked = await bench.request()
    ended = await bench.remedies.wait(asked.id, LIMIT_S)
    assert (ended.state, ended.message, ended.healthy) == (RemedyState.FAILED, "it is not there", None)
    await bench.stop()


async def test_remedy_that_nobody_decides_about_expires_and_is_never_carried_out(database: Database):
    bench = Bench(database, Counting(), environment="production", approval_s=0.1)
    await bench.start()
    asked = await bench.request()
    assert asked.state is RemedyState.WAITING
    ended = await bench.remedies.wait(asked.id, LIMIT_S)
    assert (ended.state, bench.executor.given) == (RemedyState.EXPIRED, 0)
    with pytest.raises(AlreadyDecided):
        await bench.remedies.approve(asked.id, APPROVER)
    await bench.stop()


async def test_two_decisions_at_once_count_as_one(database: Database):
    bench = Bench(database, Counting(), environment="production")
    await bench.start()
    asked = await bench.request()
    decisions = await asyncio.gather(
        bench.remedies.approve(asked.id, APPROVER),
        bench.remedies.reject(asked.id, APPROVER),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Remedy) for one in decisions) == 1
    assert sum(isinstance(one, AlreadyDecided) for one in decisions) == 1
    await bench.stop()
