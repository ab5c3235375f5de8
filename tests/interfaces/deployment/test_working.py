"""Leases, caps, draining, cancellation, reconnection: what becomes of tasks."""

import asyncio
import json
from typing import Any

import pytest

from stellwerk.interfaces.deployment.credentials import Credentials
from stellwerk.interfaces.deployment.delivering import Delivery
from support.machines import Agent, Machines

RUN = {"taskType": "docker.run", "payload": {"image": "app@sha256:1"}}
PULL = {"taskType": "docker.pull", "payload": {"image": "app"}}


async def submit(machines: Machines, agent: Agent | None = None, **more: Any) -> str:
    to = {} if agent is None else {"agent": agent.name}
    return str((await machines.open.good("POST", "/api/v1/tasks", {**to, **PULL, **more}))["taskId"])


async def task(machines: Machines, task_id: str) -> Any:
    return await machines.open.good("GET", f"/api/v1/tasks/{task_id}")


async def post(agent: Agent, task_id: str, verb: str, body: Any = None) -> Any:
    return await agent.caller.call("POST", f"{agent.path}/tasks/{task_id}/{verb}", body)


async def running(machines: Machines, agent: Agent, **more: Any) -> tuple[str, int]:
    """Give the agent a task and let it begin; return the task and its lease."""
    task_id = await submit(machines, agent, **more)
    lease = (await agent.beat())["tasks"][0]["lease"]
    assert (await post(agent, task_id, "ack", {"lease": lease})).status == 200
    return task_id, lease


async def swept(machines: Machines, seconds: float) -> None:
    machines.clock.advance(seconds)
    await machines.work.sweeper.sweep()


async def test_server_counts_its_own_leases_against_the_cap(machines: Machines):
    agent = await machines.agent()
    for _ in range(5):
        await submit(machines, agent)
    first = await agent.beat(maxTasks=2)
    assert len(first["tasks"]) == 2
    lease = {"lease": first["tasks"][0]["lease"]}
    assert (await agent.beat(maxTasks=2))["tasks"] == []
    await post(agent, first["tasks"][0]["taskId"], "complete", {"success": True, **lease})
    assert len((await agent.beat(maxTasks=2))["tasks"]) == 1
    pending = (await agent.caller.good("GET", f"{agent.path}/tasks"))["tasks"]
    assert len(pending) == 2
    assert (await post(agent, pending[0]["taskId"], "claim")).code == "agent.full"


async def test_without_a_cap_there_is_none(machines: Machines):
    agent = await machines.agent()
    for _ in range(30):
        await submit(machines, agent)
    assert len((await agent.beat())["tasks"]) == 30


async def test_draining_agent_finishes_and_gets_nothing_new(machines: Machines):
    agent = await machines.agent()
    task_id, lease = await running(machines, agent)
    other = await submit(machines, agent)
    shown = await machines.open.good("POST", f"{agent.path}/drain")
    assert (shown["draining"], len(shown["tasks"])) == (True, 1)
    assert (await agent.beat())["tasks"] == []
    assert (await agent.caller.good("GET", f"{agent.path}/tasks"))["tasks"] == []
    assert (await post(agent, other, "claim")).code == "agent.draining"
    assert (await post(agent, task_id, "complete", {"success": True, "lease": lease})).status == 200
    await machines.open.good("POST", f"{agent.path}/resume")
    assert [one["taskId"] for one in (await agent.beat())["tasks"]] == [other]


@pytest.mark.parametrize("status", ["draining", "stopping", "stopped"])
async def test_agent_that_leaves_gets_nothing_new(machines: Machines, status: str):
    agent = await machines.agent()
    await submit(machines, agent)
    assert (await agent.beat(status=status))["tasks"] == []
    shown = await machines.open.good("GET", agent.path)
    assert shown["status"] == ("offline" if status == "stopped" else "degraded")
    assert len((await agent.beat(status="healthy"))["tasks"]) == 1


async def test_claim_answers_with_the_documented_statuses(machines: Machines):
    agent, other = await machines.agent("a"), await machines.agent("b", capabilities=["ssh"])
    task_id = await submit(machines, capability="docker")
    assert (await post(agent, "nothing", "claim")).status == 404
    assert (await post(other, task_id, "claim")).status == 403
    claimed = await post(agent, task_id, "claim")
    assert claimed.status == 200
    assert claimed.body["payload"] == PULL["payload"]
    assert (await post(agent, task_id, "claim")).body["lease"] == claimed.body["lease"]
    third = await machines.agent("c")
    assert (await post(third, task_id, "claim")).code == "task.claimed"
    await machines.open.good("POST", f"/api/v1/tasks/{task_id}/cancel")
    await post(agent, task_id, "complete", {"success": False, "cancelled": True})
    assert (await post(third, task_id, "claim")).code == "task.gone"
    assert (await task(machines, task_id))["status"] == "cancelled"


async def test_look_waits_for_a_task(machines: Machines):
    agent = await machines.agent()
    looking = asyncio.create_task(agent.caller.good("GET", f"{agent.path}/tasks?wait=30"))
    await asyncio.sleep(0.05)
    assert not looking.done()
    task_id = await submit(machines, agent)
    assert [one["taskId"] for one in (await asyncio.wait_for(looking, 5))["tasks"]] == [task_id]


async def test_delivery_that_is_not_acknowledged_is_given_out_again(machines: Machines):
    agent = await machines.agent()
    task_id = await submit(machines, agent, **RUN)
    first = (await agent.beat())["tasks"][0]
    await swept(machines, 11)
    again = (await agent.beat())["tasks"][0]
    assert (again["taskId"], again["attempt"], first["attempt"]) == (task_id, 1, 1)
    assert again["lease"] > first["lease"]
    stale = await post(agent, task_id, "ack", {"lease": first["lease"]})
    assert (stale.status, stale.code) == (409, "task.stale_attempt")


async def test_listed_task_counts_as_acknowledged_and_stays(machines: Machines):
    agent = await machines.agent()
    task_id = await submit(machines, agent, **RUN)
    await agent.beat()
    listed = [{"taskId": task_id, "attempt": 1, "state": "running", "progress": 30}]
    for _ in range(6):
        await agent.beat(tasks=listed)
        await machines.noted()
        await swept(machines, 40)
    shown = await task(machines, task_id)
    assert (shown["status"], shown["progress"]) == ("running", 30)


async def test_task_that_ran_and_was_lost_is_not_given_out_again_and_its_late_result_counts(
    machines: Machines,
):
    agent = await machines.agent()
    task_id, lease = await running(machines, agent, **RUN, timeout=3600)
    await swept(machines, 91)
    assert (await task(machines, task_id))["status"] == "lost"
    assert (await agent.beat())["tasks"] == []
    late = {"success": True, "result": {"containerId": "c"}, "lease": lease}
    assert (await post(agent, task_id, "complete", late)).status == 200
    shown = await task(machines, task_id)
    assert (shown["status"], shown["result"]) == ("succeeded", {"containerId": "c"})


async def test_first_result_wins(machines: Machines):
    agent = await machines.agent()
    task_id, lease = await running(machines, agent)
    said = {"success": True, "result": 1, "lease": lease}
    assert (await post(agent, task_id, "complete", said)).body == {"acknowledged": True}
    assert (await post(agent, task_id, "complete", said)).body == {"acknowledged": True, "duplicate": True}
    other = await post(agent, task_id, "complete", {**said, "result": 2})
    assert (other.status, other.code) == (409, "task.already_completed")
    assert (await task(machines, task_id))["result"] == 1


async def test_reports_on_others_tasks_are_refused_and_change_nothing(machines: Machines):
    agent, other = await machines.agent("a"), await machines.agent("b")
    task_id, lease = await running(machines, agent)
    before = await task(machines, task_id)
    for verb, body in (
        ("ack", {"lease": lease}),
        ("complete", {"success": True, "lease": lease}),
        ("complete", {"success": True}),
        ("release", {"lease": lease}),
    ):
        answer = await post(other, task_id, verb, body)
        assert (answer.status, answer.code) == (403, "task.not_yours"), verb
    assert (await post(other, "nothing", "complete", {"success": True})).status == 404
    assert (
        await post(agent, task_id, "complete", {"success": True, "attempt": 7})
    ).code == "task.stale_attempt"
    assert await task(machines, task_id) == before


@pytest.mark.parametrize(
    ("said", "status", "error"),
    [
        ({"success": False, "error": {"type": "docker.pull", "message": "no"}}, "failed", "docker.pull"),
        ({"success": False, "error": "no"}, "failed", "failed"),
        ({"success": False}, "failed", "failed"),
        ({"success": False, "timedOut": True, "error": "late"}, "timed_out", "failed"),
        ({"success": False, "cancelled": True}, "failed", "failed"),
    ],
)
async def test_failure_is_told_with_its_reason(machines: Machines, said: Any, status: str, error: str):
    agent = await machines.agent()
    task_id, lease = await running(machines, agent)
    assert (await post(agent, task_id, "complete", {**said, "lease": lease})).status == 200
    shown = await task(machines, task_id)
    assert (shown["status"], shown["error"]["type"]) == (status, error)


async def test_retriable_failure_of_what_may_be_repeated_is_tried_again(machines: Machines):
    agent = await machines.agent()
    for given, status in ((PULL, "pending"), (RUN, "failed")):
        task_id, lease = await running(machines, agent, **given)
        error = {"type": "network", "message": "…", "retriable": True}
        await post(agent, task_id, "complete", {"success": False, "error": error, "lease": lease})
        assert (await task(machines, task_id))["status"] == status


async def test_cancelled_before_it_began_is_not_begun(machines: Machines):
    agent = await machines.agent()
    task_id = await submit(machines, agent)
    lease = (await agent.beat())["tasks"][0]["lease"]
    answer = await machines.open.good("POST", f"/api/v1/tasks/{task_id}/cancel")
    assert answer["status"] == "cancelled"
    refused = await post(agent, task_id, "ack", {"lease": lease})
    assert (refused.status, refused.code) == (410, "task.cancelled")
    confirmed = {"success": False, "cancelled": True, "lease": lease}
    assert (await post(agent, task_id, "complete", confirmed)).status == 200
    assert (await task(machines, task_id))["status"] == "cancelled"
    again = await machines.open.call("POST", f"/api/v1/tasks/{task_id}/cancel")
    assert again.body["status"] == "cancelled"


async def test_agent_that_was_away_is_told_again_what_to_stop(machines: Machines):
    agent = await machines.agent()
    task_id, _ = await running(machines, agent)
    await machines.open.good("POST", f"/api/v1/tasks/{task_id}/cancel")
    await swept(machines, 100)
    assert (await task(machines, task_id))["status"] == "cancelled"
    assert (await agent.beat(tasks=[{"taskId": task_id}]))["cancelledTasks"] == [task_id]


async def test_only_a_task_that_was_not_begun_can_be_given_back(machines: Machines):
    agent = await machines.agent()
    task_id = await submit(machines, agent, **RUN)
    lease = (await agent.beat())["tasks"][0]["lease"]
    assert (await post(agent, task_id, "release", {"lease": lease})).status == 200
    assert (await task(machines, task_id))["status"] == "pending"
    lease = (await agent.beat())["tasks"][0]["lease"]
    await post(agent, task_id, "ack", {"lease": lease})
    assert (await post(agent, task_id, "release", {"lease": lease})).code == "task.not_possible"
    assert (await task(machines, task_id))["status"] == "running"
    assert (await post(agent, task_id, "release", {"lease": lease, "begun": False})).status == 200
    assert (await task(machines, task_id))["status"] == "pending"


async def test_waiting_for_the_end_answers_with_the_result(machines: Machines):
    agent = await machines.agent()
    given = {"agent": agent.name, **PULL}
    waiting = asyncio.create_task(machines.open.call("POST", "/api/v1/tasks?mode=sync", given))
    beat = await agent.beat()
    while not beat["tasks"]:
        beat = await agent.beat()
    task_id = beat["tasks"][0]["taskId"]
    await post(agent, task_id, "complete", {"success": True, "result": {"a": 1}})
    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status, answer.body) == (
        200,
        {"taskId": task_id, "status": "succeeded", "result": {"a": 1}, "error": None},
    )


async def test_submission_with_a_key_is_one_task(machines: Machines):
    agent = await machines.agent()
    given = {"agent": agent.name, **PULL, "idempotencyKey": "k"}
    first = await machines.open.good("POST", "/api/v1/tasks", given)
    machines.clock.advance(5)
    again = await machines.open.good("POST", "/api/v1/tasks", given)
    assert again == {**first, "duplicate": True}
    other = await machines.open.call("POST", "/api/v1/tasks", {**given, "timeout": 7})
    assert (other.status, other.code) == (409, "task.idempotency_conflict")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"agent": "nobody"}, 404),
        ({"agent": None}, 422),
        ({"agent": None, "selector": {"labels": {}}}, 422),
        ({"payload": []}, 422),
        ({"priority": 50}, 400),
        ({"priority": "soon"}, 400),
        ({"timeout": 0}, 422),
        ({"credentials": {"registry.password": "hunter2"}}, 422),
    ],
)
async def test_submission_that_makes_no_sense_is_refused(machines: Machines, change: Any, status: int):
    agent = await machines.agent()
    given = {
        name: value for name, value in {"agent": agent.name, **PULL, **change}.items() if value is not None
    }
    answer = await machines.open.call("POST", "/api/v1/tasks", given)
    assert answer.status == status
    assert "hunter2" not in json.dumps(answer.body)
    assert await machines.open.good("GET", "/api/v1/tasks") == []


async def test_tasks_are_listed_by_status_and_agent(machines: Machines):
    agent, other = await machines.agent("a"), await machines.agent("b")
    done, lease = await running(machines, agent)
    await post(agent, done, "complete", {"success": True, "lease": lease})
    machines.clock.advance(1)
    waiting = await submit(machines, other)
    for query, found in (
        ("", [waiting, done]),
        ("?status=pending", [waiting]),
        ("?status=succeeded", [done]),
        ("?status=lost", []),
        (f"?agent={agent.id}", [done]),
        ("?agent=a&taskType=docker.pull", [done]),
    ):
        rows = await machines.open.good("GET", f"/api/v1/tasks{query}")
        assert [row["taskId"] for row in rows] == found, query


async def test_selector_finds_an_agent_with_the_labels_and_what_the_type_needs(machines: Machines):
    await machines.agent("a", labels={"role": "web"}, capabilities=["ssh"])
    agent = await machines.agent("b", labels={"role": "web"}, capabilities=["docker"])
    task_id = await submit(machines, selector={"labels": {"role": "web"}})
    assert [one["taskId"] for one in (await agent.beat())["tasks"]] == [task_id]


async def test_two_processes_under_one_identity_are_told_apart(machines: Machines):
    agent = await machines.agent()
    await agent.beat(instanceId="old")
    await agent.beat(instanceId="new")
    answer = await agent.caller.call("POST", f"{agent.path}/heartbeat", {"instanceId": "old"})
    assert (answer.status, answer.code) == (409, "agent.session.conflict")
    shown = await machines.open.good("GET", agent.path)
    assert (shown["status"], shown["statusReasons"]) == ("degraded", ["session.conflict"])
    machines.clock.advance(91)
    await agent.beat(instanceId="new")
    assert (await machines.open.good("GET", agent.path))["status"] == "online"


async def test_removed_agents_tasks_go_to_others_or_end(machines: Machines):
    agent, other = await machines.agent("a"), await machines.agent("b")
    begun, _ = await running(machines, agent, **RUN, timeout=3600)
    anyone = await submit(machines, capability="docker", **RUN)
    assert [one["taskId"] for one in (await agent.beat(tasks=[{"taskId": begun}]))["tasks"]] == [anyone]
    named = await submit(machines, agent)
    await machines.open.good("DELETE", agent.path)
    assert (await task(machines, begun))["status"] == "lost"
    ended = await task(machines, named)
    assert (ended["status"], ended["reason"]) == ("failed", "agent_removed")
    assert ended["error"]["type"] == "agent.removed"
    assert [one["taskId"] for one in (await other.beat())["tasks"]] == [anyone]


async def test_reconnected_agent_and_server_agree_on_what_is_held(machines: Machines):
    agent = await machines.agent()
    begun, _ = await running(machines, agent, **RUN, timeout=3600)
    again, _ = await running(machines, agent, timeout=3600)
    async with agent.stream() as stream:
        await stream.begun()
        delivered = await submit(machines, agent, **RUN)
        assert (await stream.hear("task_assigned"))["task"]["taskId"] == delivered
    async with agent.stream() as stream:
        await stream.begun()
        stream.say(type="hello", instanceId="one", running=[{"taskId": begun, "attempt": 1}])
        heard = {(await stream.hear("task_assigned"))["task"]["taskId"] for _ in range(2)}
        # What was only delivered is sent again; what began and is not known is given out anew if it may be.
        assert heard == {delivered, again}
    assert (await task(machines, begun))["status"] == "running"


async def test_newest_stream_wins(machines: Machines):
    agent = await machines.agent()
    async with agent.stream() as first:
        await first.begun()
        async with agent.stream() as second:
            await second.begun()
            assert await asyncio.wait_for(first.closed, 5) == 4409
            task_id = await submit(machines, agent)
            assert (await second.hear("task_assigned"))["task"]["taskId"] == task_id


async def test_faulty_frames_are_told_and_too_many_end_the_stream(machines: Machines):
    agent = await machines.agent()
    async with agent.stream() as stream:
        await stream.begun()
        stream.say(type="nonsense")
        assert (await stream.hear("error"))["code"] == "message.invalid"
        for _ in range(20):
            stream.say(type="nonsense")
        assert await asyncio.wait_for(stream.closed, 5) == 4400


async def test_flood_of_lines_is_dropped_and_the_task_still_ends(machines: Machines):
    agent = await machines.agent()
    task_id, lease = await running(machines, agent)
    async with agent.stream() as stream:
        await stream.begun()
        for number in range(1_500):
            stream.say(type="task_log", taskId=task_id, message="x", seq=number, lease=lease)
        stream.say(type="task_completed", taskId=task_id, success=True, lease=lease)
        await asyncio.wait_for(stream.hear("task_recorded"), 10)
    rest = (await machines.open.good("GET", f"/api/v1/tasks/{task_id}/logs?from=999"))["lines"]
    assert [one["seq"] for one in rest] == [999, 1000]
    assert (rest[1]["level"], rest[1]["message"][:17]) == ("warning", "Lines are dropped")


async def test_log_level_of_one_agent_reaches_it(machines: Machines):
    agent = await machines.agent()
    assert (await agent.beat())["config"]["logLevel"] == "info"
    assert "config" not in await agent.beat()
    await machines.open.good("PUT", agent.path, {"logLevel": "debug"})
    assert (await agent.beat())["config"]["logLevel"] == "debug"
    async with agent.stream() as stream:
        await stream.begun()
        await machines.open.good("PUT", agent.path, {"logLevel": "warning"})
        assert (await stream.hear("config"))["config"]["logLevel"] == "warning"


async def test_change_over_an_older_version_is_refused(machines: Machines):
    agent = await machines.agent()
    seen = (await machines.open.call("GET", agent.path)).headers["etag"]
    machines.clock.advance(1)
    first = await machines.open.call("PUT", agent.path, {"labels": {"a": "1"}}, {"If-Match": seen})
    again = await machines.open.call("PUT", agent.path, {"labels": {"a": "2"}}, {"If-Match": seen})
    assert (first.status, again.status) == (200, 412)
    assert (await machines.open.good("GET", agent.path))["labels"] == {"a": "1"}


@pytest.mark.parametrize("delivered", [True, False])
async def test_task_that_only_a_removed_agent_could_do_waits_for_nobody(machines: Machines, delivered: bool):
    agent = await machines.agent()
    task_id = await submit(machines, agent)
    if delivered:
        await agent.beat()
    else:  # Delayed, because its first attempt failed.
        lease = (await agent.beat())["tasks"][0]["lease"]
        failed = {"success": False, "error": {"message": "x", "retriable": True}, "lease": lease}
        assert (await post(agent, task_id, "complete", failed)).status == 200
    await machines.open.good("DELETE", agent.path)
    ended = await task(machines, task_id)
    assert (ended["status"], ended["reason"]) == ("failed", "agent_removed")


async def test_successor_gets_what_waits_for_the_agent_that_it_replaces(machines: Machines):
    agent = await machines.agent("a")
    begun, _ = await running(machines, agent, **RUN, timeout=3600)
    delivered = await submit(machines, agent, **RUN)
    await agent.beat(tasks=[{"taskId": begun}])
    waiting = await submit(machines, agent, **RUN)
    token = await machines.token(replaces=agent.id)
    body = {"name": "a", "version": "2", "capabilities": ["docker"]}
    joined = await machines.open.good(
        "POST", "/api/v1/agents/register", body, headers={"x-agent-token": token}
    )
    new = Agent(joined, machines.open.with_certificate(joined["certificate"]["cert"]), "a")
    assert (await task(machines, begun))["status"] == "lost"
    assert {one["taskId"] for one in (await new.beat())["tasks"]} == {delivered, waiting}


async def test_silent_agents_tasks_are_given_up_two_minutes_after_it_went_offline(machines: Machines):
    agent = await machines.agent()
    task_id, _ = await running(machines, agent, **RUN, timeout=3600)
    for _ in range(3):
        await swept(machines, 39)
        await machines.interface.vouching.vouch()
        await machines.noted()
    await swept(machines, 60)
    await machines.fleet.sweep(machines.clock.now_us())
    assert (await machines.open.good("GET", agent.path))["status"] == "offline"
    assert (await task(machines, task_id))["status"] == "running"
    await machines.interface.vouching.vouch()
    await machines.noted()
    await swept(machines, 35)
    assert (await task(machines, task_id))["status"] == "lost"


async def test_result_after_the_task_was_given_up_is_kept_beside_it(machines: Machines):
    agent = await machines.agent()
    task_id, lease = await running(machines, agent, **RUN, timeout=3600)
    await swept(machines, 91)
    said = {"success": False, "error": {"type": "x", "message": "no"}, "result": {"a": 1}, "lease": lease}
    assert (await post(agent, task_id, "complete", said)).body == {"acknowledged": True, "late": True}
    assert (await post(agent, task_id, "complete", {**said, "error": "other"})).status == 200
    shown = await task(machines, task_id)
    assert (shown["status"], shown["error"]) == ("lost", None)
    error = {"type": "x", "message": "no", "retriable": False, "result": {"a": 1}}
    assert shown["lateResult"]["outcome"] == {"success": False, "error": error}


async def test_result_after_the_time_was_over_is_kept_beside_the_end(machines: Machines):
    agent = await machines.agent()
    task_id, lease = await running(machines, agent, **RUN, timeout=10)
    await swept(machines, 11)
    await swept(machines, 91)
    assert (await task(machines, task_id))["status"] == "timed_out"
    other = await machines.agent("other")
    said = {"success": True, "result": {"containerId": "c"}, "lease": lease}
    assert (await post(other, task_id, "complete", said)).status == 403
    assert (await post(agent, task_id, "complete", said)).body["late"]
    shown = await task(machines, task_id)
    assert (shown["status"], shown["result"]) == ("timed_out", None)
    assert shown["lateResult"]["outcome"] == {"success": True, "result": {"containerId": "c"}}


async def test_agent_that_knows_only_the_published_frames_is_sent_a_task_once(machines: Machines):
    agent = await machines.agent()
    async with agent.caller.stream(f"{agent.path}/task-stream", protocols=()) as stream:
        await stream.begun()
        assert stream.accepted == {"type": "websocket.accept", "subprotocol": None}
        task_id = await submit(machines, agent, **RUN)
        assert (await stream.hear("task_assigned"))["task"]["taskId"] == task_id
        assert (await task(machines, task_id))["status"] == "running"
        await swept(machines, 15)
        assert (await task(machines, task_id))["status"] == "running"
        done = await post(agent, task_id, "complete", {"success": True, "result": {"containerId": "c"}})
        assert done.status == 200


async def test_stop_goes_out_behind_the_delivery_that_is_under_way(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    agent = await machines.agent()
    resolve, asked, may_go_on = Credentials.resolve, asyncio.Event(), asyncio.Event()

    async def resolve_slowly(self: Credentials, task_id: str, requirements: str) -> dict[str, str]:
        asked.set()
        await may_go_on.wait()
        return await resolve(self, task_id, requirements)

    monkeypatch.setattr(Credentials, "resolve", resolve_slowly)
    async with agent.caller.stream(f"{agent.path}/task-stream", protocols=()) as stream:
        await stream.begun()
        task_id = await submit(machines, agent, **RUN)
        await asyncio.wait_for(asked.wait(), 5)
        cancelled = await machines.open.good("POST", f"/api/v1/tasks/{task_id}/cancel")
        may_go_on.set()
        heard = [(await stream.hear())["type"] for _ in range(2)]
        assert (cancelled["status"], heard) == ("cancelling", ["task_assigned", "task_cancelled"])


async def test_begun_task_that_could_not_be_made_ready_is_given_again(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    agent = await machines.agent()
    deliver, faults = Delivery.deliver, [RuntimeError("disk")]

    async def fail_once(self: Delivery, assignment: Any) -> Any:
        if faults:
            raise faults.pop()
        return await deliver(self, assignment)

    monkeypatch.setattr(Delivery, "deliver", fail_once)
    async with agent.caller.stream(f"{agent.path}/task-stream", protocols=()) as stream:
        await stream.begun()
        task_id = await submit(machines, agent, **RUN, idempotent=False)
        given = (await stream.hear("task_assigned"))["task"]
        assert (given["taskId"], given["attempt"], faults) == (task_id, 1, [])


async def test_pong_is_a_sign_of_life(machines: Machines):
    agent = await machines.agent()
    async with agent.stream() as stream:
        await stream.begun()
        for _ in range(5):
            machines.clock.advance(25)
            before = (await machines.open.good("GET", agent.path))["lastHeartbeat"]
            stream.pong()
            await machines.until(agent.path, lambda shown, before=before: shown["lastHeartbeat"] > before)
            await machines.fleet.sweep(machines.clock.now_us())
        assert (await machines.open.good("GET", agent.path))["status"] == "online"
        machines.clock.advance(91)
        await machines.fleet.sweep(machines.clock.now_us())
        assert (await machines.open.good("GET", agent.path))["status"] == "offline"
        stream.pong()
        await machines.until(agent.path, lambda shown: shown["status"] == "online")


async def test_stream_of_a_process_that_was_replaced_is_closed(machines: Machines):
    agent = await machines.agent()
    await agent.beat(instanceId="old")
    await agent.beat(instanceId="new")
    async with agent.stream() as stream:
        await stream.begun()
        stream.say(type="hello", instanceId="old", running=[])
        assert await asyncio.wait_for(stream.closed, 5) == 4409


async def test_capabilities_grow_only_within_the_scope_of_the_token(machines: Machines):
    token = await machines.token(capabilities=["docker", "compose"])
    body = {"name": "a", "version": "1", "capabilities": ["docker"]}
    await machines.open.good("POST", "/api/v1/agents/register", body, headers={"x-agent-token": token})
    changed = await machines.open.good("PUT", "/api/v1/agents/a", {"capabilities": ["docker", "compose"]})
    assert changed["capabilities"] == changed["tokenCapabilities"] == ["docker", "compose"]
    refused = await machines.open.call("PUT", "/api/v1/agents/a", {"capabilities": ["docker", "ssh"]})
    assert (refused.status, refused.code) == (403, "registration_token.scope")
    assert (await machines.open.good("GET", "/api/v1/agents/a"))["capabilities"] == ["docker", "compose"]


async def test_agent_that_came_back_while_its_stream_opened_is_given_tasks(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    agent = await machines.agent()
    await agent.beat(status="stopped")
    held, beats = machines.work.held, [{"status": "healthy"}]

    async def read_slowly(holder: Any) -> Any:
        if beats:
            await agent.beat(**beats.pop())
        return await held(holder)

    async with agent.stream() as stream:
        monkeypatch.setattr(machines.work, "held", read_slowly)
        await stream.begun()
        task_id = await submit(machines, agent)
        assert (await stream.hear("task_assigned"))["task"]["taskId"] == task_id
