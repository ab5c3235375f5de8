"""Where executions go: versions, pins, sessions, whoever can be dialled; and what waits for its way."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from stellwerk.fleet.errors import UnknownAgent
from stellwerk.traffic.execution import OptionChanges, Status, Target
from stellwerk.traffic.refusals import (
    InvalidCall,
    NoVersion,
    Overloaded,
    UnknownTarget,
    UnknownVersion,
    Unreachable,
)
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.matching import Attributes
from stellwerk.work.task import Holder
from support.traffic import Process, Site, begin_process, kinds

STRANGER = Principal("key:stranger", "stranger", frozenset({Scope.FLEET_WRITE, Scope.TASKS_SUBMIT}))


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
