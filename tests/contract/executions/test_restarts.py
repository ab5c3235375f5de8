"""Executions whose processes come and go: an agent's, and our own."""

import pytest

from stellwerk.database.database import Database
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import Presence
from stellwerk.traffic.execution import Status
from stellwerk.traffic.refusals import (
    NoVersion,
    Unreachable,
)
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from support.clock import FakeClock
from support.traffic import Process, Site, begin_process, first_id, presence
from support.work import until

STRANGER = Principal("key:stranger", "stranger", frozenset({Scope.FLEET_WRITE, Scope.TASKS_SUBMIT}))


# A process of an agent dies, leaves, is replaced


async def test_what_a_dead_process_had_promised_is_lost_at_once(site: Site, processes: list[Process]) -> None:
    process = await begin_process(site, processes)
    process.answer = process.promise
    begun = await site.begin()
    await first_id(process)
    await process.die()
    with pytest.raises((Unreachable, NoVersion)):
        await site.execute()
    lost = await site.end_of(begun.id)
    assert (lost.status, lost.reason, lost.version) == (Status.FAILED, "lost", "1.0.0")


async def test_a_late_report_corrects_what_was_given_up(site: Site, processes: list[Process]) -> None:
    process = await begin_process(site, processes)
    process.answer = process.promise
    begun = await site.begin()
    await first_id(process)
    await process.die()
    with pytest.raises((Unreachable, NoVersion)):
        await site.execute()
    await site.end_of(begun.id)
    await site.report(begun.id, result='"after all"')
    assert (await site.end_of(begun.id)).result == '"after all"'


async def test_what_a_dead_process_had_promised_is_repeated_if_it_may_be(
    site: Site, processes: list[Process]
) -> None:
    first = await begin_process(site, processes, tags=("idempotent",))
    second = await begin_process(site, processes, "2.0.0", tags=("idempotent",))
    first.answer = first.promise
    begun = await site.begin()
    await first_id(first)
    await first.die()
    await site.execute()
    done = await site.end_of(begun.id)
    assert (done.status, done.version) == (Status.SUCCEEDED, "2.0.0")
    assert begun.id in second.ids


async def test_a_process_that_falls_silent_is_given_up_when_it_is_offline(
    site: Site, processes: list[Process]
) -> None:
    process = await begin_process(site, processes)
    process.answer = process.promise
    begun = await site.begin()
    await first_id(process)
    for _ in range(3):
        site.clock.advance(10)
        await site.fleet.sweep(site.clock.now_us())
    await site.traffic._watch.turn()
    lost = await site.end_of(begun.id)
    assert (lost.status, lost.reason) == (Status.FAILED, "lost")


async def test_a_process_that_announced_its_end_gets_nothing_new_and_may_still_report(
    site: Site, processes: list[Process]
) -> None:
    leaving = await begin_process(site, processes)
    await begin_process(site, processes, "2.0.0")
    leaving.answer = leaving.promise
    begun = await site.begin()
    await first_id(leaving)
    await site.traffic.depart(LOCAL, "hello", leaving.name)
    await leaving.die()
    assert (await site.execute()).version == "2.0.0"
    await site.pass_time(30)
    await site.report(begun.id, result='"drained"')
    assert (await site.end_of(begun.id)).result == '"drained"'


async def test_a_process_that_announced_its_end_has_a_minute_and_no_more(
    site: Site, processes: list[Process]
) -> None:
    leaving = await begin_process(site, processes)
    leaving.answer = leaving.promise
    begun = await site.begin()
    await first_id(leaving)
    await site.traffic.depart(LOCAL, "hello", leaving.name)
    await site.pass_time(59)
    assert (await site.traffic.execution(begun.id)).status is Status.RUNNING  # type: ignore[union-attr]
    await site.pass_time(2)
    assert (await site.end_of(begun.id)).reason == "lost"


async def test_of_several_processes_the_one_that_leaves_is_found_out(
    site: Site, processes: list[Process]
) -> None:
    staying = await begin_process(site, processes)
    leaving = await begin_process(site, processes, "2.0.0")
    leaving.status = "stopping"
    await site.traffic.depart(LOCAL, "hello")
    await until(lambda: presence(site, leaving) is Presence.OFFLINE)
    assert presence(site, staying) is Presence.ONLINE


async def test_a_process_under_the_same_address_replaces_the_old_one(
    site: Site, processes: list[Process]
) -> None:
    old = await begin_process(site, processes, name="old")
    old.answer = old.promise
    begun = await site.begin()
    await first_id(old)
    new = Process(site, name="new")
    new.port = old.port
    await new.join()
    view = site.fleet.get("hello")
    assert view is not None
    assert [one.instance for one in view.instances] == ["new"]
    await site.pass_time(1)
    assert (await site.traffic.execution(begun.id)).status is Status.RUNNING  # type: ignore[union-attr]
    await site.pass_time(61)
    assert (await site.end_of(begun.id)).reason == "lost"


async def test_leaving_needs_the_owner(site: Site, process: Process) -> None:
    with pytest.raises(OwnedByAnother):
        await site.traffic.depart(STRANGER, "hello", process.name)
    with pytest.raises(UnknownAgent):
        await site.traffic.depart(LOCAL, "nobody")


# A process of ours dies


async def test_promises_and_waiting_calls_survive_the_control_plane(database: Database) -> None:
    site = await Site(database, FakeClock()).start()
    process = await (await Process(site).listen()).join()
    process.answer = process.promise
    promised = await site.begin()
    await first_id(process)
    await site.traffic._launching.settle()
    late = await (await Process(site, "9.0.0").listen()).join(ready=False)
    waiting = await site.begin(pin="9.0.0")
    await site.crash()
    again = Site(database, site.clock)
    await again.start()
    try:
        await again.report(promised.id, result='"after the restart"')
        assert (await again.end_of(promised.id)).result == '"after the restart"'
        assert (await again.traffic.execution(waiting.id)).status is Status.QUEUED  # type: ignore[union-attr]
        late.site = again
        await late.join()
        assert (await again.end_of(waiting.id)).version == "9.0.0"
        await late.die()
    finally:
        await again.stop()
        await process.die()


@pytest.mark.parametrize("tags", [(), ("idempotent",)])
async def test_an_answer_to_a_dead_control_plane_is_lost_or_asked_for_again(
    database: Database, tags: tuple[str, ...]
) -> None:
    site = await Site(database, FakeClock()).start()
    process = await (await Process(site).listen()).join(tags=tags)
    process.answer = process.hang
    begun = await site.begin()
    await first_id(process)
    await site.crash()
    process.answer = process.inline
    again = await Site(database, site.clock).start()
    process.site = again
    try:
        # The process lives and gives signs of life: its lease alone would never end.
        for _ in range(4):
            again.clock.advance(40)
            await process.beat()
            await again.pass_time(0)
        await again.pass_time(1)  # What is repeated rests a moment first.
        ended = await again.end_of(begun.id)
        expected = (Status.SUCCEEDED, None) if tags else (Status.FAILED, "lost")
        assert (ended.status, ended.reason) == expected
    finally:
        await again.stop()
        await process.die()


async def test_a_promise_is_waited_for_as_long_as_its_process_gives_signs_of_life(
    site: Site, process: Process
) -> None:
    process.answer = process.promise
    begun = await site.begin()
    await first_id(process)
    for _ in range(10):
        site.clock.advance(40)
        await process.beat()
        await site.pass_time(0)
    await site.report(begun.id, result="1")
    assert (await site.end_of(begun.id)).status is Status.SUCCEEDED


async def test_processes_that_are_long_gone_are_forgotten_but_for_the_last_of_a_version(
    site: Site, processes: list[Process]
) -> None:
    for version, name in (("1.0.0", "a"), ("1.0.0", "b"), ("2.0.0", "c")):
        await begin_process(site, processes, version, name)
        site.clock.advance(1)
    for seconds in (30, 30):
        site.clock.advance(seconds)
        await site.fleet.sweep(site.clock.now_us())
    await site.pass_time(60)
    assert len(site.traffic.versions("hello")[0].instances) == 2
    site.clock.advance(86_400)
    await site.pass_time(0)
    assert [one.instances for one in site.traffic.versions("hello")] == [("b",), ("c",)]


async def test_pruning_takes_the_execution_with_its_task(site: Site, process: Process) -> None:
    done = await site.execute()
    site.clock.advance(8 * 86_400)
    await site.work.sweeper.prune()
    assert await site.traffic.execution(done.id) is None
