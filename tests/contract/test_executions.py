"""Executions on both engines, with agents behind real sockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from stellwerk.database.database import Database
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import Presence
from stellwerk.journal.event import EventFilter
from stellwerk.settings import FunctionSettings
from stellwerk.traffic.execution import OptionChanges, Status, Target
from stellwerk.traffic.refusals import (
    AlreadyEnded,
    InvalidCall,
    KeyConflict,
    NotYourExecution,
    NoVersion,
    Overloaded,
    ResultTooLarge,
    TimedOut,
    UnknownExecution,
    UnknownTarget,
    UnknownVersion,
    Unreachable,
)
from stellwerk.traffic.store import status_of
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.matching import Attributes
from stellwerk.work.states import State
from stellwerk.work.task import Holder
from support.clock import FakeClock
from support.traffic import Process, Site, open_site, report
from support.work import until

STRANGER = Principal("key:stranger", "stranger", frozenset({Scope.FLEET_WRITE, Scope.TASKS_SUBMIT}))


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with open_site(database) as site:
        yield site


@pytest.fixture
async def processes(site: Site) -> AsyncIterator[list[Process]]:
    """Processes that are ended with the test."""
    started: list[Process] = []
    yield started
    for process in started:
        await process.die()


async def begin_process(
    site: Site, processes: list[Process], version: str = "1.0.0", name: str | None = None, **said: Any
) -> Process:
    process = await Process(site, version, name).listen()
    processes.append(process)
    return await process.join(**said)


@pytest.fixture
async def process(site: Site, processes: list[Process]) -> Process:
    return await begin_process(site, processes)


async def kinds(site: Site, execution_id: str) -> list[str]:
    page = await site.journal.page(EventFilter(task=execution_id))
    return [event.kind for event in page.events]


# One call


async def test_a_call_is_answered_with_the_result_and_who_gave_it(site: Site, process: Process) -> None:
    done = await site.execute()
    assert (done.status, done.version, done.instance) == (Status.SUCCEEDED, "1.0.0", process.name)
    assert done.result == '{"version": "1.0.0", "got": {"name": "ada"}}'
    assert await site.traffic.execution(done.id) == done
    assert await kinds(site, done.id) == ["task.submitted", "task.started", "task.succeeded"]


async def test_the_agent_gets_the_bare_input_and_is_told_what_was_said(site: Site, process: Process) -> None:
    done = await site.execute(
        run_id="run-1",
        parent_id="exec-0",
        session_id="s",
        actor_id="ada",
        caller="other",
        headers={"traceparent": "t"},
    )
    headers, body = process.calls[0]
    assert body == {"name": "ada"}
    expected = {
        "X-Execution-ID": done.id,
        "X-Run-ID": "run-1",
        "X-Workflow-ID": "run-1",
        "X-Parent-Execution-ID": "exec-0",
        "X-Session-ID": "s",
        "X-Actor-ID": "ada",
        "X-Caller-Agent-ID": "other",
        "traceparent": "t",
        "Content-Type": "application/json",
    }
    assert {name: headers[name] for name in expected} == expected


async def test_an_execution_is_durable_and_running_before_anything_is_sent(
    site: Site, process: Process
) -> None:
    seen = []

    async def look(request: web.Request) -> web.StreamResponse:
        execution = await site.traffic.execution(request.headers["X-Execution-ID"])
        seen.append(None if execution is None else (execution.status, execution.version))
        return web.json_response({})

    process.answer = look
    await site.execute()
    assert seen == [(Status.RUNNING, "1.0.0")]


async def test_skills_are_posted_to_their_own_path(site: Site, process: Process) -> None:
    await site.execute(target=Target("hello", "add", "skill"))
    assert process.paths == ["/skills/add"]


async def test_targets_are_resolved_against_what_is_registered(site: Site, process: Process) -> None:
    assert site.traffic.resolve("hello.greet") == Target("hello", "greet")
    assert site.traffic.resolve("hello.add") == Target("hello", "add", "skill")
    with pytest.raises(UnknownTarget):
        site.traffic.resolve("hello.nothing")


async def test_calls_are_split_exactly_by_weight(site: Site, processes: list[Process]) -> None:
    first = await begin_process(site, processes)
    canary = await begin_process(site, processes, "2.0.0")
    await site.execute()
    assert len(canary.calls) == 0
    await site.fleet.set_weights(LOCAL, "hello", {"2.0.0": 100})
    seen = Counter([(await site.execute()).version for _ in range(30)])
    assert seen == {"1.0.0": 27, "2.0.0": 3}
    assert (len(first.calls), len(canary.calls)) == (28, 3)


async def test_a_pinned_call_reaches_its_version_and_no_other(site: Site, processes: list[Process]) -> None:
    await begin_process(site, processes)
    await begin_process(site, processes, "2.0.0")
    assert {(await site.execute(pin="2.0.0")).version for _ in range(5)} == {"2.0.0"}
    with pytest.raises(UnknownVersion):
        await site.execute(pin="3.0.0")


async def test_sessions_stick_where_the_agent_wants_it(site: Site, processes: list[Process]) -> None:
    await begin_process(site, processes)
    await begin_process(site, processes, "2.0.0")
    await site.fleet.set_weights(LOCAL, "hello", {"1.0.0": 1, "2.0.0": 1})
    assert len({(await site.execute(session_id="ada")).version for _ in range(4)}) == 2
    await site.traffic.change_options(LOCAL, "hello", OptionChanges(sticky=True))
    assert len({(await site.execute(session_id="ada")).version for _ in range(6)}) == 1


async def test_all_weights_off_is_refused_and_writes_nothing(site: Site, process: Process) -> None:
    await site.fleet.set_weights(LOCAL, "hello", {"1.0.0": 0})
    with pytest.raises(NoVersion) as refusal:
        await site.execute()
    assert refusal.value.reason == "off"
    assert (await site.work.stats()).submitted == 0


@pytest.mark.parametrize(
    "said",
    [
        {"timeout_s": 0},
        {"timeout_s": 1e9},
        {"pin": ""},
        {"run_id": "r" * 300},
        {"headers": {"x": "y" * 20_000}},
    ],
)
async def test_calls_past_a_limit_are_refused(site: Site, process: Process, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidCall):
        await site.execute(**said)
    assert process.calls == []


# What agents answer


async def test_an_agents_refusal_is_a_failure_with_its_status_and_details(
    site: Site, process: Process
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "Missing required field: name"}, status=422)

    process.answer = refuse
    failed = await site.execute()
    assert (failed.status, failed.version) == (Status.FAILED, "1.0.0")
    assert (failed.error, failed.error_status) == ("Missing required field: name", 422)
    assert failed.error_details == '{"detail": "Missing required field: name"}'
    assert await site.traffic.execution(failed.id) == failed


async def test_garbage_is_a_failure(site: Site, process: Process) -> None:
    async def rubbish(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x00<html>")

    process.answer = rubbish
    failed = await site.execute()
    assert (failed.status, failed.error) == (Status.FAILED, "the agent's answer is not JSON")


async def test_a_redirect_is_a_failure_and_is_not_followed(site: Site, process: Process) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("http://169.254.169.254/latest/meta-data")

    process.answer = redirect
    failed = await site.execute()
    assert failed.status is Status.FAILED
    assert "redirect" in (failed.error or "")


async def test_an_address_outside_the_policy_is_never_dialled(site: Site, processes: list[Process]) -> None:
    await begin_process(site, processes, endpoints={"base_url": "http://169.254.169.254"})
    with pytest.raises(Unreachable) as refusal:
        await site.execute()
    assert refusal.value.execution.status is Status.FAILED


async def test_an_agent_that_never_answers_ends_as_timed_out(database: Database) -> None:
    async with open_site(database, answer_s=0.3) as site:
        process = await (await Process(site).listen()).join()
        process.answer = process.hang
        ended = await site.execute()
        assert (ended.status, ended.version) == (Status.TIMEOUT, "1.0.0")
        await process.die()


async def test_an_answer_without_end_is_cut_off(database: Database) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_024):
            await response.write(b" " * 1_048_576)
            sent += 1
        return response

    async with open_site(database, answer_bytes=100_000) as site:
        process = await (await Process(site).listen()).join()
        process.answer = pour
        ended = await site.execute()
        assert ended.status is Status.FAILED
        assert sent < 100
        await process.die()


# Promises


async def test_a_promise_is_kept_by_a_report(site: Site, process: Process) -> None:
    process.answer = process.promise
    calling = asyncio.create_task(site.execute())
    execution_id = await first_id(process)
    reported = await site.report(execution_id, result="[1,2]")
    done = await calling
    assert (done.status, done.result, done.version) == (Status.SUCCEEDED, "[1,2]", "1.0.0")
    assert (reported.execution, reported.duplicate) == (done, False)


async def test_the_report_may_come_before_the_promise(site: Site, process: Process) -> None:
    async def early(request: web.Request) -> web.StreamResponse:
        await site.report(request.headers["X-Execution-ID"], result='"early"')
        return await process.promise(request)

    process.answer = early
    assert (await site.execute()).result == '"early"'


@pytest.mark.parametrize("result", ["null", "5", '"text"', "[]", '{"a":{"b":[]}}', None])
async def test_any_json_may_be_reported(site: Site, process: Process, result: str | None) -> None:
    process.answer = process.promise
    begun = await site.begin()
    await site.report(begun.id, result=result)
    assert (await site.end_of(begun.id)).result == (result or "null")


async def test_the_same_report_is_acknowledged_and_another_refused(site: Site, process: Process) -> None:
    process.answer = process.promise
    begun = await site.begin()
    await site.report(begun.id, result="1")
    assert (await site.report(begun.id, result="1")).duplicate
    with pytest.raises(AlreadyEnded):
        await site.report(begun.id, result="2")
    with pytest.raises(AlreadyEnded):
        await site.report(begun.id, status=Status.FAILED, error="no")
    with pytest.raises(AlreadyEnded):
        await site.report(begun.id, status=Status.RUNNING)
    assert (await site.end_of(begun.id)).result == "1"


async def test_a_reported_failure_is_told_in_the_agents_words(site: Site, process: Process) -> None:
    process.answer = process.promise
    begun = await site.begin()
    said = {"error": "boom", "error_details": '{"at": 1}', "error_status": 418}
    await site.report(begun.id, status=Status.FAILED, **said)
    failed = await site.end_of(begun.id)
    assert (failed.error, failed.error_details, failed.error_status) == ("boom", '{"at": 1}', 418)


async def test_reports_of_strangers_and_on_nothing_are_refused(site: Site, process: Process) -> None:
    process.answer = process.promise
    begun = await site.begin()
    with pytest.raises(NotYourExecution):
        await site.traffic.report(STRANGER, begun.id, report(result="1"))
    for unknown in ("exec_nothing", "", "\0"):
        with pytest.raises(UnknownExecution):
            await site.report(unknown, result="1")
    assert (await site.traffic.execution(begun.id)).status is Status.RUNNING  # type: ignore[union-attr]


async def test_a_report_that_is_too_large_is_refused_and_the_execution_goes_on(database: Database) -> None:
    async with open_site(database, answer_bytes=1_000) as site:
        process = await (await Process(site).listen()).join()
        process.answer = process.promise
        begun = await site.begin()
        with pytest.raises(ResultTooLarge):
            await site.report(begun.id, result='"' + "x" * 2_000 + '"')
        await site.report(begun.id, result="1")
        assert (await site.end_of(begun.id)).status is Status.SUCCEEDED
        await process.die()


async def test_a_caller_that_has_waited_enough_is_told_and_the_execution_goes_on(database: Database) -> None:
    async with open_site(database, wait_s=0.2) as site:
        process = await (await Process(site).listen()).join()
        process.answer = process.promise
        with pytest.raises(TimedOut) as late:
            await site.execute()
        execution = late.value.execution
        assert (execution.status, execution.version) == (Status.RUNNING, "1.0.0")
        await site.report(execution.id, result="1")
        assert (await site.end_of(execution.id)).status is Status.SUCCEEDED
        await process.die()


# Going elsewhere


async def test_a_refused_dial_goes_to_another_version_before_the_caller_sees_it(
    site: Site, processes: list[Process]
) -> None:
    first = await begin_process(site, processes)
    second = await begin_process(site, processes, "2.0.0", first_weight=None, later_weight=100)
    await first.die()
    done = await asyncio.gather(*(site.execute() for _ in range(20)))
    assert {one.version for one in done} == {"2.0.0"}
    assert {(await site.traffic.execution(one.id)).version for one in done} == {"2.0.0"}  # type: ignore[union-attr]
    assert len(second.calls) == 20


async def test_a_refused_dial_goes_to_another_instance_of_the_version(
    site: Site, processes: list[Process]
) -> None:
    one = await begin_process(site, processes, name="one")
    two = await begin_process(site, processes, name="two")
    await one.die()
    assert {(await site.execute()).instance for _ in range(4)} == {"two"}
    assert len(two.calls) == 4


async def test_an_instance_that_could_not_be_dialled_is_back_with_its_next_heartbeat(
    site: Site, processes: list[Process]
) -> None:
    one = await begin_process(site, processes, name="one")
    await begin_process(site, processes, name="two")
    await one.die()
    for _ in range(2):
        await site.execute()
    await one.listen()
    assert {(await site.execute()).instance for _ in range(4)} == {"two"}
    site.clock.advance(1)
    await one.beat()
    assert {(await site.execute()).instance for _ in range(4)} == {"one", "two"}


async def test_an_agent_that_registers_before_it_listens_is_waited_for(
    site: Site, processes: list[Process]
) -> None:
    process = await begin_process(site, processes)
    await process.die()
    calling = asyncio.create_task(site.execute())
    await asyncio.sleep(0.3)
    await process.listen()
    assert (await calling).status is Status.SUCCEEDED


async def test_a_call_that_reaches_nobody_fails_and_says_so(site: Site, process: Process) -> None:
    await site.execute()
    await process.die()
    with pytest.raises(Unreachable) as refusal:
        await site.execute()
    failed = refusal.value.execution
    assert (failed.status, failed.reason, failed.version) == (Status.FAILED, "unreachable", "1.0.0")
    assert await site.traffic.execution(failed.id) == failed


async def test_a_lost_answer_ends_an_execution_as_lost(site: Site, processes: list[Process]) -> None:
    first = await begin_process(site, processes)
    second = await begin_process(site, processes, "2.0.0")
    first.answer = first.hang
    calling = asyncio.create_task(site.execute())
    await first_id(first)
    await first.die()
    lost = await calling
    assert (lost.status, lost.reason) == (Status.FAILED, "lost")
    assert (len(first.calls), len(second.calls)) == (1, 0)


async def test_a_lost_answer_of_an_idempotent_function_is_asked_for_elsewhere(
    site: Site, processes: list[Process]
) -> None:
    first = await begin_process(site, processes, tags=("idempotent",))
    await begin_process(site, processes, "2.0.0", tags=("idempotent",))
    first.answer = first.hang
    calling = asyncio.create_task(site.execute())
    execution_id = await first_id(first)
    await first.die()
    done = await calling
    assert (done.id, done.status, done.version) == (execution_id, Status.SUCCEEDED, "2.0.0")
    assert await site.traffic.execution(done.id) == done


async def test_operators_may_declare_a_function_idempotent(database: Database) -> None:
    declared = {"hello.greet": FunctionSettings(idempotent=True)}
    async with open_site(database, functions=declared) as site:
        first = await (await Process(site).listen()).join()
        second = await (await Process(site, "2.0.0").listen()).join()
        first.answer = first.hang
        calling = asyncio.create_task(site.execute())
        await first_id(first)
        await first.die()
        assert (await calling).version == "2.0.0"
        await second.die()


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


# Waiting


async def test_a_call_may_wait_for_a_version_and_gets_one_as_soon_as_there_is(
    site: Site, processes: list[Process]
) -> None:
    process = await begin_process(site, processes, ready=False)
    begun = await site.begin()
    assert (begun.status, begun.version) == (Status.QUEUED, None)
    await process.join()
    done = await site.end_of(begun.id)
    assert (done.status, done.version, done.instance) == (Status.SUCCEEDED, "1.0.0", process.name)


async def test_nobody_can_claim_an_execution(site: Site, processes: list[Process]) -> None:
    await begin_process(site, processes, ready=False)
    begun = await site.begin()
    claimed = await site.work.claim(Holder("hello", "process-1.0.0"), Attributes(kind="node"), 10)
    assert claimed == []
    assert (await site.traffic.execution(begun.id)).status is Status.QUEUED  # type: ignore[union-attr]


async def test_the_limit_refuses_who_waits_and_queues_the_others(
    site: Site, processes: list[Process]
) -> None:
    process = await begin_process(site, processes)
    process.answer = process.promise
    await site.traffic.change_options(LOCAL, "hello", OptionChanges(concurrency=2))
    first, second = await site.begin(), await site.begin()
    with pytest.raises(Overloaded) as refusal:
        await site.execute()
    assert (refusal.value.limit, refusal.value.retry_after_s) == (2, 1)
    third = await site.begin()
    assert third.status is Status.QUEUED
    await site.report(first.id, result="1")
    await site.until(third.id, lambda one: one.status is Status.RUNNING)
    async with asyncio.timeout(10):  # it is durable as running before it is called
        while len(process.calls) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await site.report(second.id, result="1")
    await site.report(third.id, result="1")
    assert site.traffic.versions("hello")[0].running == 0


async def test_waiting_executions_go_by_priority(site: Site, processes: list[Process]) -> None:
    process = await begin_process(site, processes, ready=False)
    await site.traffic.change_options(LOCAL, "hello", OptionChanges(concurrency=1))
    low = await site.begin(priority=0)
    high = await site.begin(priority=40)
    await process.join()
    await site.end_of(low.id)
    assert process.ids == [high.id, low.id]


async def test_one_that_nobody_can_be_given_does_not_hold_up_the_others(
    site: Site, processes: list[Process]
) -> None:
    await begin_process(site, processes, "2.0.0", ready=False)
    stuck = await site.begin(pin="2.0.0")
    await begin_process(site, processes, "1.0.0")
    free = await site.begin()
    assert (await site.end_of(free.id)).version == "1.0.0"
    assert (await site.traffic.execution(stuck.id)).status is Status.QUEUED  # type: ignore[union-attr]


async def test_one_that_reached_nobody_waits_for_the_next_heartbeat(
    site: Site, processes: list[Process]
) -> None:
    process = await begin_process(site, processes)
    await site.execute()
    await process.die()
    begun = await site.begin()
    waiting = await site.until(begun.id, lambda one: one.status is Status.QUEUED)
    assert waiting.reason == "handed_back"
    await process.listen()
    site.clock.advance(2)
    await process.beat()
    await site.work.sweeper.sweep()
    site.traffic._giver.ready("hello")
    assert (await site.end_of(begun.id)).status is Status.SUCCEEDED


# Cancelling, time, keys


async def test_cancelling_what_waits_ends_it_at_once(site: Site, processes: list[Process]) -> None:
    await begin_process(site, processes, ready=False)
    begun = await site.begin()
    cancelled = await site.traffic.cancel(LOCAL, begun.id)
    assert (cancelled.status, cancelled.error) == (Status.CANCELLED, "the execution was cancelled")
    assert await site.traffic.cancel(LOCAL, begun.id) == cancelled


async def test_cancelling_what_runs_asks_the_agent_to_stop(site: Site, process: Process) -> None:
    process.answer = process.promise
    begun = await site.begin()
    await first_id(process)
    assert (await site.traffic.cancel(LOCAL, begun.id)).status is Status.RUNNING
    assert (await site.end_of(begun.id)).status is Status.CANCELLED
    assert process.cancelled == [begun.id]


async def test_an_agent_may_report_the_cancellation_itself(site: Site, process: Process) -> None:
    process.answer, process.stoppable = process.promise, False
    begun = await site.begin()
    await first_id(process)
    await site.traffic.cancel(LOCAL, begun.id)
    await site.report(begun.id, status=Status.CANCELLED, error="cancelled_by_control_plane")
    assert (await site.end_of(begun.id)).status is Status.CANCELLED


async def test_a_result_that_is_quicker_than_the_cancellation_counts(site: Site, process: Process) -> None:
    process.answer, process.stoppable = process.promise, False
    begun = await site.begin()
    await first_id(process)
    await site.traffic.cancel(LOCAL, begun.id)
    await site.report(begun.id, result="1")
    assert (await site.end_of(begun.id)).status is Status.SUCCEEDED


async def test_cancelling_needs_the_caller_and_something_that_goes_on(site: Site, process: Process) -> None:
    process.answer = process.promise
    begun = await site.begin()
    with pytest.raises(NotYourExecution):
        await site.traffic.cancel(STRANGER, begun.id)
    await site.report(begun.id, result="1")
    with pytest.raises(AlreadyEnded):
        await site.traffic.cancel(LOCAL, begun.id)
    with pytest.raises(UnknownExecution):
        await site.traffic.cancel(LOCAL, "exec_nothing")


async def test_an_agent_that_gives_up_by_itself_has_failed(site: Site, process: Process) -> None:
    process.answer = process.promise
    begun = await site.begin()
    await first_id(process)
    await site.report(begun.id, status=Status.CANCELLED, error="cancelled during graceful shutdown")
    ended = await site.end_of(begun.id)
    assert (ended.status, ended.error) == (Status.FAILED, "cancelled during graceful shutdown")


async def test_an_execution_that_takes_too_long_is_stopped(site: Site, process: Process) -> None:
    process.answer = process.promise
    begun = await site.begin(timeout_s=5)
    await first_id(process)
    await site.pass_time(6)
    ended = await site.end_of(begun.id)
    assert (ended.status, ended.error) == (Status.TIMEOUT, "the execution took longer than it may")
    assert process.cancelled == [begun.id]


async def test_the_same_key_is_the_same_execution(site: Site, process: Process) -> None:
    first = await site.execute(idempotency_key="k")
    again = await site.execute(idempotency_key="k")
    begun = await site.begin(idempotency_key="k")
    assert first == again == begun
    assert len(process.calls) == 1
    with pytest.raises(KeyConflict):
        await site.execute(idempotency_key="k", input="{}")


async def test_calls_with_one_key_at_once_are_one_execution(site: Site, process: Process) -> None:
    done = await asyncio.gather(*(site.execute(idempotency_key="k") for _ in range(8)))
    assert len({one.id for one in done}) == 1
    assert len(process.calls) == 1
    assert site.traffic.versions("hello")[0].running == 0


async def test_several_executions_are_read_at_once(site: Site, process: Process) -> None:
    done = [await site.execute() for _ in range(3)]
    found = await site.traffic.executions([one.id for one in done] + ["exec_nothing"])
    assert found == {one.id: one for one in done}
    assert await site.traffic.executions([]) == {}
    assert await site.traffic.execution("exec_nothing") is None


# Versions and options


async def test_versions_are_shown_with_share_health_and_figures(site: Site, processes: list[Process]) -> None:
    first = await begin_process(site, processes)
    await begin_process(site, processes, "2.0.0", ready=False)
    for _ in range(3):
        await site.execute()

    async def fail(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=500)

    first.answer = fail
    await site.execute()
    one, two = site.traffic.versions("hello")
    assert (one.version, one.weight, one.share_percent, one.health_status, one.lifecycle_status) == (
        "1.0.0",
        900,
        100.0,
        "active",
        "ready",
    )
    assert (one.figures.calls, one.figures.errors, one.base_urls) == (4, 1, (first.url,))
    assert one.figures.p50_ms is not None
    assert (two.weight, two.share_percent, two.health_status, two.lifecycle_status) == (
        None,
        0.0,
        "unknown",
        "starting",
    )
    with pytest.raises(UnknownAgent):
        site.traffic.versions("nobody")


async def test_a_version_whose_process_is_gone_is_inactive_at_once(site: Site, process: Process) -> None:
    await site.execute()
    await process.die()
    with pytest.raises(Unreachable):
        await site.execute()
    (one,) = site.traffic.versions("hello")
    assert (one.health_status, one.lifecycle_status, one.share_percent) == ("inactive", "offline", 0.0)


# A process of ours dies


async def test_promises_and_waiting_calls_survive_the_control_plane(database: Database) -> None:
    site = await Site(database, FakeClock()).start()
    process = await (await Process(site).listen()).join()
    process.answer = process.promise
    promised = await site.begin()
    await first_id(process)
    await site.traffic._promises.finish()
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


def presence(site: Site, process: Process) -> Presence | None:
    view = site.fleet.get("hello")
    one = None if view is None else view.instance(process.name)
    return None if one is None else one.presence


async def first_id(*processes: Process) -> str:
    """Wait until one of the processes was called, and return the execution's id."""
    async with asyncio.timeout(10):
        while not any(process.calls for process in processes):  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.01)
    return next(process.ids[0] for process in processes if process.calls)


def test_states_of_tasks_and_executions_are_both_complete() -> None:
    assert {status_of(state, None) for state in State} <= set(Status)
