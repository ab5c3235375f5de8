"""How executions end: what agents answer and report, what is lost, taken back or too late."""

import asyncio

import pytest
from aiohttp import web

from stellwerk.database.database import Database
from stellwerk.settings import FunctionSettings
from stellwerk.traffic.execution import Status
from stellwerk.traffic.refusals import (
    AlreadyEnded,
    KeyConflict,
    NotYourExecution,
    ResultTooLarge,
    TimedOut,
    UnknownExecution,
    Unreachable,
)
from stellwerk.traffic.store import status_of
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.states import State
from support.traffic import Process, Site, begin_process, first_id, open_site, report

STRANGER = Principal("key:stranger", "stranger", frozenset({Scope.FLEET_WRITE, Scope.TASKS_SUBMIT}))


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


# Lost answers


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


def test_states_of_tasks_and_executions_are_both_complete() -> None:
    assert {status_of(state, None) for state in State} <= set(Status)
