"""Restarts as the rows that they are, on both engines. The processes are real in `tests/e2e`."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest

from stellwerk.database.database import Database
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent, UnknownVersion
from stellwerk.fleet.model import BASE_URL, NODES
from stellwerk.journal.event import EventFilter
from stellwerk.settings import ConnectorSettings
from stellwerk.traffic.dialling import Answer, AnswerLost, DialForbidden, NotDialled
from stellwerk.traffic.execution import Options
from stellwerk.traffic.restart import Restart, RestartRefused, RestartState, UnknownRestart
from stellwerk.traffic.restarting import Restarting
from stellwerk.work.matching import Attributes
from stellwerk.work.task import Holder
from support.clock import FakeClock
from support.fleet import ADMIN, ALICE, BOB, registration
from support.work import Queue

PERMITTED = ConnectorSettings(supervised=("*",), restart_s=60.0)
MACHINE = {"agent": "machine-1", "container": "hello-2"}


@dataclass
class Line:
    """A dialler that answers as told."""

    outcome: Answer | Exception = field(default_factory=lambda: Answer(202, b"{}"))
    calls: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        self.calls.append((url, body.decode(), headers))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def get(self, url: str, timeout_s: float) -> Answer:
        raise AssertionError


@dataclass
class Yard:
    """An agent `hello` with two versions, and restarts of it."""

    queue: Queue
    line: Line
    restarting: Restarting
    options: dict[str, Options]

    async def process(self, instance: str, version: str) -> None:
        """Let a process register where another of its version may have been."""
        port = 1000 + int(version[0])
        endpoints = {BASE_URL: f"http://127.0.0.1:{port}"}
        await self.queue.fleet.register(
            ALICE,
            registration(
                "hello", joined_through=NODES, instance=instance, version=version, endpoints=endpoints
            ),
        )

    async def ended(self, restart: Restart) -> Restart:
        """Wait for the end."""
        found = await self.restarting.wait(restart, 10)
        assert found.finished_at is not None
        return found

    async def asked(self, count: int = 1) -> None:
        """Wait until somebody was asked to end."""
        for _ in range(500):
            if len(self.line.calls) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.line.calls)

    async def kinds(self) -> list[str]:
        page = await self.queue.journal.page(EventFilter(kinds=("agent.*",), group="hello"))
        return [event.kind for event in page.events if "restart" in event.kind]

    def again(self, settings: ConnectorSettings = PERMITTED) -> Restarting:
        """Make the restarting of another process."""
        queue = self.queue
        return Restarting(
            queue.database,
            queue.journal,
            queue.fleet,
            queue.work,
            self.line,
            options=lambda group: self.options.get(group, Options()),
            settings=settings,
            clock=queue.clock,
        )


@pytest.fixture
async def yard(database: Database) -> AsyncIterator[Yard]:
    queue, line = Queue(database, FakeClock()), Line()
    await queue.fleet.start()
    await queue.start()
    yard = Yard(queue, line, None, {})  # type: ignore[arg-type]  # made by itself, on the next line
    yard.restarting = yard.again()
    await yard.process("one", "1.0.0")
    queue.clock.advance(1)
    await yard.process("two", "2.0.0")
    await yard.restarting.start()
    yield yard
    await yard.restarting.stop()
    await queue.stop()
    await queue.fleet.stop()


async def test_an_instance_is_asked_as_published_and_its_successor_ends_the_restart(yard: Yard) -> None:
    restart = await yard.restarting.request(ALICE, "hello", "2.0.0")
    await yard.asked()
    assert yard.line.calls == [
        (
            "http://127.0.0.1:1002/shutdown",
            '{"graceful":true,"timeout_seconds":5}',
            {"content-type": "application/json"},
        )
    ]
    assert (await yard.restarting.get("hello", restart.restart_id)).state is RestartState.REQUESTED
    await yard.process("three", "2.0.0")
    done = await yard.ended(restart)
    assert (done.state, done.steps[0].replaced_by) == (RestartState.RESTARTED, "three")
    assert await yard.kinds() == ["agent.restart_requested", "agent.restarted"]
    assert await yard.restarting.list("hello") == [done]
    assert len(yard.line.calls) == 1


async def test_a_restart_outlives_the_process_that_watched_it(yard: Yard) -> None:
    restart = await yard.restarting.request(ALICE, "hello", "2.0.0")
    await yard.asked()
    await yard.restarting.stop()
    await yard.process("three", "2.0.0")
    after = yard.again()
    await after.start()
    done = await after.wait(restart, 10)
    await after.stop()
    assert done.state is RestartState.RESTARTED
    assert len(yard.line.calls) == 1


async def test_two_replicas_ask_once(yard: Yard) -> None:
    other = yard.again()
    await other.start()
    restart = await yard.restarting.request(ALICE, "hello", None)
    other.loop.wake()
    await yard.asked()
    await yard.process("three", "1.0.0")
    await yard.asked(2)
    await yard.process("four", "2.0.0")
    done = await yard.ended(restart)
    await other.stop()
    assert done.state is RestartState.RESTARTED
    assert [url for url, _, _ in yard.line.calls] == [
        "http://127.0.0.1:1001/shutdown",
        "http://127.0.0.1:1002/shutdown",
    ]


async def test_who_does_not_come_back_times_out(yard: Yard) -> None:
    restart = await yard.restarting.request(ALICE, "hello", "2.0.0")
    await yard.asked()
    yard.queue.clock.advance(61)
    yard.restarting.loop.wake()
    assert (await yard.ended(restart)).state is RestartState.TIMED_OUT
    assert await yard.kinds() == ["agent.restart_requested", "agent.restart_timed_out"]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Answer(404, b""), "answered 404"),
        (Answer(302, b""), "answered 302"),
        (NotDialled("no route"), "no route"),
        (DialForbidden("169.254.169.254 is never allowed"), "may not be dialled"),
    ],
    ids=["no such path", "redirect", "not dialled", "forbidden"],
)
async def test_a_restart_that_nobody_heard_of_fails_at_once(
    yard: Yard, outcome: Answer | Exception, told: str
) -> None:
    yard.line.outcome = outcome
    done = await yard.ended(await yard.restarting.request(ALICE, "hello", "2.0.0"))
    assert done.state is RestartState.FAILED
    assert told in (done.detail or "")
    assert await yard.kinds() == ["agent.restart_requested", "agent.restart_failed"]


@pytest.mark.parametrize("outcome", [NotDialled("refused", refused=True), AnswerLost("cut")], ids=str)
async def test_a_process_that_may_have_gone_is_waited_for(yard: Yard, outcome: Exception) -> None:
    yard.line.outcome = outcome
    restart = await yard.restarting.request(ALICE, "hello", "2.0.0")
    await yard.asked()
    await yard.process("three", "2.0.0")
    assert (await yard.ended(restart)).state is RestartState.RESTARTED


async def test_refused_restarts_ask_nobody_and_leave_no_row(yard: Yard) -> None:
    await yard.restarting.stop()
    unsupervised = yard.again(ConnectorSettings())
    await unsupervised.start()
    with pytest.raises(RestartRefused) as refused:
        await unsupervised.request(ALICE, "hello", "2.0.0")
    assert refused.value.why == "no_supervisor"
    with pytest.raises(UnknownAgent):
        await unsupervised.request(ADMIN, "nobody", None)
    with pytest.raises(UnknownVersion):
        await unsupervised.request(ADMIN, "hello", "9.9.9")
    with pytest.raises(OwnedByAnother):
        await unsupervised.request(BOB, "hello", "2.0.0", force=True)
    with pytest.raises(UnknownRestart):
        await unsupervised.get("hello", "rst_none")
    await yard.queue.fleet.remove(ALICE, "hello", "one")
    last = yard.again()
    with pytest.raises(RestartRefused) as refused:
        await last.request(ALICE, "hello", "2.0.0")
    assert refused.value.why == "last_healthy_instance"
    assert await unsupervised.list("hello") == []
    assert (yard.line.calls, await yard.kinds()) == ([], [])
    await unsupervised.request(ALICE, "hello", "2.0.0", force=True)
    await yard.asked()
    await unsupervised.stop()


async def test_one_agent_is_restarted_by_one_at_a_time(yard: Yard) -> None:
    found = await asyncio.gather(
        *(yard.restarting.request(ALICE, "hello", "2.0.0") for _ in range(5)), return_exceptions=True
    )
    begun = [one for one in found if isinstance(one, Restart)]
    refused = [one.why for one in found if isinstance(one, RestartRefused)]
    assert (len(begun), refused) == (1, ["restart_under_way"] * 4)
    await yard.asked()
    assert len(yard.line.calls) == 1
    with pytest.raises(UnknownRestart):
        await yard.restarting.get("other", begun[0].restart_id)


async def test_an_agent_in_a_container_is_restarted_by_its_machine(yard: Yard) -> None:
    yard.options["hello"] = Options(supervisor=MACHINE)
    await yard.queue.fleet.register(ADMIN, registration("machine-1", capabilities=("docker",)))
    restart = await yard.restarting.request(ALICE, "hello", "2.0.0")
    (task,) = await yard.queue.work.claim(Holder("machine-1"), Attributes(kind="worker"), wait_s=5)
    assert (task.task_type, json.loads(task.task_data)["parameters"], task.repeatable) == (
        "docker.restart",
        {"name": "hello-2"},
        False,
    )
    await yard.process("three", "2.0.0")
    done = await yard.ended(restart)
    assert (done.state, done.steps[0].task_id) == (RestartState.RESTARTED, task.task_id)
    assert yard.line.calls == []


async def test_a_machine_that_fails_ends_the_restart_with_its_words(yard: Yard) -> None:
    yard.options["hello"] = Options(supervisor=MACHINE)
    await yard.queue.fleet.register(ADMIN, registration("machine-1", capabilities=("docker",)))
    restart = await yard.restarting.request(ALICE, "hello", "2.0.0")
    holder = Holder("machine-1")
    (task,) = await yard.queue.work.claim(holder, Attributes(kind="worker"), wait_s=5)
    await yard.queue.work.acknowledge(holder, task.task_id, task.fence)
    await yard.queue.work.fail(holder, task.task_id, task.fence, '"no such container"', retryable=False)
    done = await yard.ended(restart)
    assert done.state is RestartState.FAILED
    assert "no such container" in (done.detail or "")


async def test_a_machine_that_nobody_knows_fails_the_restart(yard: Yard) -> None:
    yard.options["hello"] = Options(supervisor=MACHINE)
    done = await yard.ended(await yard.restarting.request(ALICE, "hello", "2.0.0"))
    assert (done.state, done.detail) == (RestartState.FAILED, "There is no deployment agent machine-1")
