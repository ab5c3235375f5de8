"""A worker against the bare wire: lost connections, late and repeated answers, duplicate deliveries."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stellwerk.sdk import Context, NotAllowed, PermanentFailure, Worker, WorkerOptions
from stellwerk.sdk.links import Replaced
from support.line import LIMIT_S, Line, assignment, open_line


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with open_line() as opened:
        yield opened


def new_worker(line: Line, **options: Any) -> Worker:
    return Worker(
        options=WorkerOptions(**{"server": line.url, "agent_id": "w1", "reconnect_cap_s": 0.2} | options)
    )


@asynccontextmanager
async def running(worker: Worker, line: Line) -> AsyncIterator[None]:
    serving = asyncio.create_task(worker.serve())
    await line.connected()
    assert await line.next("hello") == {"type": "hello", "held": []}
    try:
        yield
        worker.stop()
        await asyncio.wait_for(serving, LIMIT_S)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


class Gate:
    """A function that begins, counts, and waits to be let through."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, context: Context) -> int:
        self.calls += 1
        self.begun.set()
        await self.open.wait()
        return self.calls


async def test_worker_introduces_itself_with_its_task_types_as_services(line: Line) -> None:
    worker = new_worker(line, capabilities=("gpu",), labels={"zone": "a"}, concurrency=3, services=("extra",))
    worker.task("work")(Gate())
    async with running(worker, line):
        pass
    assert line.registered == [
        {
            "agent_id": "w1",
            "agent_type": "worker",
            "capabilities": ["gpu"],
            "services": ["extra", "work"],
            "labels": {"zone": "a"},
            "tags": [],
            "max_concurrency": 3,
            "metadata": {"sdk": "stellwerk-python", "ephemeral": True},
            "instance_id": line.instances[0],
        }
    ]
    assert (line.goodbyes, line.removed) == (1, [])


async def test_workers_that_share_an_agent_id_are_instances_of_their_own(line: Line) -> None:
    for options in ({}, {}, {"instance_id": "i1"}, {"agent_id": None}):
        async with running(new_worker(line, **options), line):
            pass
    first, second, third, fourth = line.instances
    assert first and second and first != second
    assert (third, fourth) == ("i1", None)
    assert [body["metadata"].get("ephemeral", False) for body in line.registered] == [
        True,
        True,
        False,
        False,
    ]


async def test_claims_name_the_instance_of_the_process(line: Line) -> None:
    worker, gate = new_worker(line, delivery="claim"), Gate()
    gate.open.set()
    worker.task("work")(gate)
    serving = asyncio.create_task(worker.serve())
    line.claims.put_nowait([assignment("t1")])
    verb, body = await asyncio.wait_for(line.posts.get(), LIMIT_S)
    worker.stop()
    await asyncio.wait_for(serving, LIMIT_S)
    (registered,) = line.registered
    assert (verb, body["instance_id"]) == ("complete", registered["instance_id"])
    assert {one["instance_id"] for one in line.claimed} == {registered["instance_id"]}


async def test_invented_agent_leaves_the_registry_when_it_ends(line: Line) -> None:
    worker = new_worker(line, agent_id=None)
    async with running(worker, line):
        pass
    assert line.removed == [line.registered[0]["agent_id"]]


async def test_synchronous_and_asynchronous_functions_return_results(line: Line) -> None:
    worker = new_worker(line)

    @worker.task("sync")
    def in_thread(context: Context) -> dict[str, Any]:
        return {"main": threading.current_thread() is threading.main_thread(), "n": context.data["n"]}

    @worker.task("async")
    async def on_loop(context: Context) -> list[int]:
        return [context.data["n"], context.attempt]

    async with running(worker, line):
        await line.assign("t1", task_type="sync", task_data={"n": 7})
        assert await line.next("complete") == {
            "type": "complete", "task_id": "t1", "lease": 1, "result": {"main": False, "n": 7}
        }  # fmt: skip
        await line.assign("t2", lease=4, task_type="async", task_data={"n": 8}, attempt=2)
        assert (await line.next("complete"))["result"] == [8, 2]


async def test_short_repeatable_task_is_never_accepted_and_a_long_one_is(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    worker.task("work")(gate)

    @worker.task("short")
    def short(context: Context) -> None:
        return None

    async with running(worker, line):
        await line.assign("t1", task_type="short")
        assert (await line.next("complete"))["task_id"] == "t1"
        await line.assign("t2")
        assert (await line.next("accept"))["task_id"] == "t2"
        gate.open.set()
        assert (await line.next("complete"))["task_id"] == "t2"


async def test_non_repeatable_task_begins_only_after_task_started(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    gate.open.set()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.assign("t1", repeatable=False)
        assert (await line.next("accept"))["lease"] == 1
        await line.assign("t1", repeatable=False)
        assert gate.calls == 0
        await line.send({"type": "task_started", "task_id": "t1", "lease": 1})
        await line.send({"type": "task_started", "task_id": "t1", "lease": 1})
        assert (await line.next("complete"))["result"] == 1
    assert gate.calls == 1


async def test_accept_is_said_again_after_a_reconnect_when_its_answer_was_lost(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    gate.open.set()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.assign("t1", repeatable=False)
        await line.next("accept")
        await line.cut()
        await line.connected()
        assert (await line.next("hello"))["held"] == [{"task_id": "t1", "lease": 1}]
        assert (await line.next("accept"))["task_id"] == "t1"
        assert gate.calls == 0
        await line.send({"type": "task_started", "task_id": "t1", "lease": 1})
        assert (await line.next("complete"))["result"] == 1


async def test_result_is_kept_and_sent_again_until_it_is_settled(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    gate.open.set()
    worker.task("work")(gate)
    line.settles = False
    async with running(worker, line):
        await line.assign("t1")
        first = await line.next("complete")
        for _ in range(2):
            await line.cut()
            await line.connected()
            assert (await line.next("hello"))["held"] == [{"task_id": "t1", "lease": 1}]
            assert await line.next("complete") == first
        line.settles = True
        await line.settle(first)
        await line.cut()
        await line.connected()
        assert (await line.next("hello"))["held"] == []
    assert gate.calls == 1


async def test_function_goes_on_while_the_connection_is_gone(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.assign("t1")
        await line.next("accept")
        await line.send({"type": "task_started", "task_id": "t1", "lease": 1})
        await line.cut()
        gate.open.set()
        await line.connected()
        assert (await line.next("hello"))["held"] == [{"task_id": "t1", "lease": 1}]
        assert (await line.next("complete"))["result"] == 1


async def test_duplicate_delivery_runs_once_and_a_newer_lease_replaces_the_older(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.send(assignment("t1"), assignment("t1"))
        await line.next("accept")
        assert gate.calls == 1
        await line.assign("t1", lease=2)
        assert (await line.next("accept"))["lease"] == 2
        gate.open.set()
        assert (await line.next("complete"))["lease"] == 2
        assert line.nothing_more()
    assert gate.calls == 2


async def test_lost_lease_cancels_the_function_and_nothing_is_sent(line: Line) -> None:
    worker = new_worker(line)
    ended = asyncio.Event()
    reasons: list[str | None] = []

    @worker.task("work")
    async def work(context: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            reasons.append(context.cancel_reason)
            ended.set()

    async with running(worker, line):
        await line.assign("t1")
        await line.next("accept")
        await line.send({"type": "lease_lost", "task_id": "t1", "lease": 1, "detail": "expired"})
        await asyncio.wait_for(ended.wait(), LIMIT_S)
        await asyncio.sleep(0)
        assert line.nothing_more()
    assert reasons == ["lease_lost"]


async def test_cancel_stops_coroutines_and_asks_threads(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    worker.task("work")(gate)

    @worker.task("thread")
    def thread(context: Context) -> None:
        assert context.wait_cancelled(LIMIT_S)
        context.raise_if_cancelled()

    async with running(worker, line):
        for task_id, task_type in (("t1", "work"), ("t2", "thread")):
            await line.assign(task_id, task_type=task_type)
            await line.next("accept")
            await line.send({"type": "task_cancel", "task_id": task_id, "lease": 1, "reason": "requested"})
            assert (await line.next("cancelled"))["task_id"] == task_id


async def test_cancel_that_overtakes_the_beginning_is_confirmed(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.send(
            assignment("t1"), {"type": "task_cancel", "task_id": "t1", "lease": 1, "reason": "requested"}
        )
        assert (await line.next("cancelled"))["task_id"] == "t1"
    assert gate.calls == 0


async def test_finished_function_completes_although_it_was_cancelled(line: Line) -> None:
    worker = new_worker(line)

    @worker.task("work")
    def work(context: Context) -> str:
        context.wait_cancelled(LIMIT_S)
        return "done all the same"

    async with running(worker, line):
        await line.assign("t1")
        await line.next("accept")
        await line.send({"type": "task_cancel", "task_id": "t1", "lease": 1, "reason": "requested"})
        assert (await line.next("complete"))["result"] == "done all the same"


async def test_progress_and_lines_arrive_before_the_outcome(line: Line) -> None:
    worker = new_worker(line)

    @worker.task("work")
    def work(context: Context) -> None:
        context.progress(0.5, "half")
        context.progress(0.25, "back")
        for number in range(3):
            context.log(f"line {number}")
        context.log("two\nlines", level="warning")

    async with running(worker, line):
        await line.assign("t1")
        log = await line.next("log")
        assert [(entry["seq"], entry["line"], entry["level"]) for entry in log["lines"]] == [
            (1, "line 0", "info"),
            (2, "line 1", "info"),
            (3, "line 2", "info"),
            (4, "two", "warning"),
            (5, "lines", "warning"),
        ]
        progress = await line.next("progress")
        assert (progress["progress"], progress["note"]) == (0.5, "half")
        await line.next("complete")


async def test_lines_around_a_broken_connection_are_said_again(line: Line) -> None:
    worker = new_worker(line)
    steps: list[asyncio.Event] = [asyncio.Event() for _ in range(2)]

    @worker.task("work")
    async def work(context: Context) -> None:
        context.log("before")
        await steps[0].wait()
        context.log("while it was broken")
        await steps[1].wait()

    async with running(worker, line):
        await line.assign("t1")
        while (frame := await line.any())["type"] != "log":
            pass
        assert [one["seq"] for one in frame["lines"]] == [1]
        await line.cut()
        steps[0].set()
        await line.connected()
        await line.next("hello")
        said: dict[int, str] = {}
        while len(said) < 2:
            frame = await line.any()
            said |= {one["seq"]: one["line"] for one in frame.get("lines", ())}
        assert said == {1: "before", 2: "while it was broken"}
        steps[1].set()
        while (await line.any())["type"] != "complete":
            pass


async def test_what_a_function_raises_fails_the_attempt(line: Line) -> None:
    worker = new_worker(line)

    @worker.task("work")
    def work(context: Context) -> None:
        raise ValueError("no good")

    @worker.task("final")
    async def final(context: Context) -> None:
        raise PermanentFailure({"code": 7})

    @worker.task("unwritable")
    def unwritable(context: Context) -> object:
        return object()

    @worker.task("large")
    def large(context: Context) -> str:
        return "x" * 1_100_000

    async with running(worker, line):
        await line.assign("t1")
        fail = await line.next("fail")
        assert (fail["retryable"], fail["error"]["type"], fail["error"]["message"]) == (
            True,
            "ValueError",
            "no good",
        )
        assert "in work" in fail["error"]["traceback"]
        await line.assign("t2", task_type="final")
        fail = await line.next("fail")
        assert (fail["retryable"], fail["error"]) == (False, {"code": 7})
        for number, task_type in enumerate(("unwritable", "large"), 3):
            await line.assign(f"t{number}", task_type=task_type)
            assert (await line.next("fail"))["retryable"] is False
        await line.assign("t5", task_type="unheard_of")
        assert (await line.next("fail"))["retryable"] is True


async def test_refused_result_becomes_a_failure_instead_of_a_loop(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    gate.open.set()
    worker.task("work")(gate)
    line.settles = False
    async with running(worker, line):
        await line.assign("t1")
        await line.next("complete")
        line.settles = True
        await line.send({"type": "error", "task_id": "t1", "code": "too_large", "detail": "too large"})
        fail = await line.next("fail")
        assert (fail["retryable"], fail["error"]) == (
            False,
            "the control plane refused the result: too large",
        )


async def test_result_survives_an_unavailable_database_for_any_time(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    gate.open.set()
    worker.task("work")(gate)
    line.settles = False
    async with running(worker, line):
        await line.assign("t1")
        for _ in range(8):
            await line.next("complete")
            await line.send(
                {
                    "type": "error",
                    "task_id": "t1",
                    "code": "unavailable",
                    "detail": "full",
                    "retry_after_s": 0.01,
                }
            )
        line.settles = True
        await line.next("complete")


async def test_settled_result_is_not_taken_for_a_lost_lease_after_a_reconnect(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    gate.open.set()
    worker.task("work")(gate)
    line.settles = False
    async with running(worker, line):
        await line.assign("t1")
        await line.next("complete")
        await line.cut()
        await line.connected()
        await line.next("hello")
        await line.send({"type": "lease_lost", "task_id": "t1", "lease": 1, "detail": "ended meanwhile"})
        await line.settle(await line.next("complete"))
        await line.assign("t1", lease=2)
        assert (await line.next("complete"))["lease"] == 2
        line.settles = True
        await line.settle({"task_id": "t1", "lease": 2})


async def test_release_of_a_cancelled_task_becomes_a_confirmation(line: Line) -> None:
    worker, gate = new_worker(line, drain_s=0.01), Gate()
    worker.task("work")(gate)
    line.settles = False
    async with running(worker, line):
        await line.assign("t1")
        await line.next("accept")
        worker.stop()
        await line.next("release")
        line.settles = True
        await line.send({"type": "error", "task_id": "t1", "code": "not_possible", "detail": "is cancelling"})
        assert (await line.next("cancelled"))["task_id"] == "t1"


async def test_drain_finishes_what_runs_and_releases_what_comes(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.assign("t1")
        await line.next("accept")
        await line.assign("t2", repeatable=False)
        await line.next("accept")
        worker.stop()
        assert (await line.next("release"))["task_id"] == "t2"
        await line.assign("t3")
        assert (await line.next("release"))["task_id"] == "t3"
        gate.open.set()
        assert (await line.next("complete"))["task_id"] == "t1"


async def test_drain_gives_back_what_does_not_end_in_time(line: Line) -> None:
    worker, gate = new_worker(line, drain_s=0.05), Gate()
    worker.task("work")(gate)
    stuck = threading.Event()

    @worker.task("stuck")
    def hang(context: Context) -> None:
        stuck.wait(LIMIT_S)

    async with running(worker, line):
        await line.assign("t1")
        await line.assign("t2", repeatable=False, task_type="stuck")
        await line.next("accept")
        await line.send({"type": "task_started", "task_id": "t2", "lease": 1})
        await line.next("accept")
        worker.stop()
        assert (await line.next("release"))["task_id"] == "t1"
        fail = await line.next("fail")
        assert (fail["task_id"], fail["retryable"]) == ("t2", False)
    stuck.set()


async def test_second_stop_does_not_wait(line: Line) -> None:
    worker, gate = new_worker(line, drain_s=60.0), Gate()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.assign("t1")
        await line.next("accept")
        worker.stop()
        worker.stop()
        assert (await line.next("release"))["task_id"] == "t1"


async def test_unknown_agent_registers_again(line: Line) -> None:
    worker = new_worker(line)
    async with running(worker, line):
        line.known = False
        await line.cut()
        await line.connected()
        await line.next("hello")
    assert len(line.registered) == 2


async def test_refused_credentials_end_the_worker(line: Line) -> None:
    line.refuse_with = 403
    with pytest.raises(NotAllowed):
        await asyncio.wait_for(new_worker(line).serve(), LIMIT_S)


async def test_replaced_worker_does_not_fight_back(line: Line) -> None:
    serving = asyncio.create_task(new_worker(line).serve())
    await line.connected()
    await line.close(4409)
    with pytest.raises(Replaced):
        await asyncio.wait_for(serving, LIMIT_S)
    assert line.connections == 1


async def test_many_results_leave_in_few_messages(line: Line) -> None:
    worker, gate = new_worker(line, concurrency=100), Gate()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.send(*(assignment(f"t{number}") for number in range(100)))
        await asyncio.wait_for(gate.begun.wait(), LIMIT_S)
        gate.open.set()
        assert {(await line.next("complete"))["task_id"] for _ in range(100)} == {f"t{n}" for n in range(100)}
    assert line.largest_batch > 10


async def test_frame_of_an_unknown_type_is_passed_over(line: Line) -> None:
    worker, gate = new_worker(line), Gate()
    gate.open.set()
    worker.task("work")(gate)
    async with running(worker, line):
        await line.send({"type": "from_the_future", "anything": [1]}, assignment("t1"))
        await line.next("complete")


async def test_blocked_websocket_falls_back_to_claims(line: Line) -> None:
    line.refuse_with = 400
    worker, gate = new_worker(line, instance_id="i1"), Gate()
    gate.open.set()
    worker.task("work")(gate)
    serving = asyncio.create_task(worker.serve())
    line.claims.put_nowait([{**assignment("t1"), "repeatable": False}])
    verbs = [await asyncio.wait_for(line.posts.get(), LIMIT_S) for _ in range(2)]
    assert verbs == [
        ("acknowledge", {"agent_id": "w1", "instance_id": "i1", "lease": 1, "task_id": "t1"}),
        ("complete", {"agent_id": "w1", "instance_id": "i1", "lease": 1, "result": 1, "task_id": "t1"}),
    ]
    worker.stop()
    await asyncio.wait_for(serving, LIMIT_S)
