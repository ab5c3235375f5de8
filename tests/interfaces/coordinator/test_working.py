"""Taking and settling tasks over plain HTTP."""

import asyncio
from typing import Any

import aiohttp
import pytest

from support.plane import Answer, Caller, Plane

from .frames import register, state, submit


async def claimed(api: Caller, **fields: Any) -> dict[str, Any]:
    """Register a1, submit a task and claim it."""
    await register(api)
    await submit(api, **fields)
    task: dict[str, Any] = (await api.post("/tasks/claim", {"agent_id": "a1"}))["tasks"][0]
    return task


async def report(api: Caller, task: dict[str, Any], verb: str, **fields: Any) -> Answer:
    body = {"agent_id": "a1", "lease": task["lease"], **fields}
    return await api.call("POST", f"/tasks/{task['task_id']}/{verb}", body)


async def test_claimed_task_has_everything_that_a_worker_needs(api: Caller):
    task = await claimed(api, requirements={"agent_type": "worker", "hint": 1}, priority="high", timeout_s=9)
    assert task.pop("submitted_at") < task.pop("lease_expires_at")
    assert task.pop("task_id")
    assert task == {
        "attempt": 1,
        "lease": 1,
        "task_type": "t",
        "task_data": {"task_type": "t"},
        "requirements": {"agent_type": "worker", "hint": 1},
        "priority": "high",
        "repeatable": True,
        "deadline": None,
        "timeout_s": 9.0,
    }


async def test_claim_gives_only_what_the_agent_matches(api: Caller):
    await register(api, capabilities=["x"])
    wanted = await submit(api, requirements={"capabilities": ["x"]})
    await submit(api, requirements={"capabilities": ["y"]})
    answer = await api.post("/tasks/claim", {"agent_id": "a1", "limit": 100})
    assert ([one["task_id"] for one in answer["tasks"]], answer["count"]) == ([wanted], 1)


async def test_waiting_claim_is_answered_when_a_task_comes(api: Caller):
    await register(api)
    waiting = asyncio.create_task(api.post("/tasks/claim", {"agent_id": "a1", "wait_s": 10}))
    await api.get("/health")
    task_id = await submit(api)
    assert [one["task_id"] for one in (await waiting)["tasks"]] == [task_id]


async def test_claim_of_somebody_who_hung_up_takes_no_task(api: Caller):
    await register(api)
    async with aiohttp.ClientSession() as session:
        claim = {"agent_id": "a1", "wait_s": 30}
        with pytest.raises(TimeoutError):
            await session.post(f"{api.url}/tasks/claim", json=claim, timeout=aiohttp.ClientTimeout(total=0.3))
    await api.get("/health")
    task_id = await submit(api)
    assert await state(api, task_id) == "queued"
    assert (await api.post("/tasks/claim", {"agent_id": "a1"}))["count"] == 1


async def test_life_of_a_task_by_reports(api: Caller):
    task = await claimed(api)
    begun = await report(api, task, "acknowledge")
    assert (begun.status, begun.body["state"]) == (200, "running")
    assert (await report(api, task, "progress", progress=0.4, note="on it")).body["state"] == "running"
    lines = [{"seq": 1, "line": "one"}, {"seq": 2, "line": "two\x00", "level": "error"}]
    assert (await report(api, task, "logs", lines=lines)).status == 200
    done = await report(api, task, "complete", result={"ok": True})
    assert (done.body["state"], done.body["duplicate"]) == ("succeeded", False)
    shown = (await api.get(f"/tasks/{task['task_id']}"))["task"]
    assert (shown["progress"], shown["progress_note"], shown["result"]) == (0.4, "on it", {"ok": True})
    assert (shown["assigned_agent"], shown["instance_id"]) == ("a1", "default")
    log = await api.get(f"/tasks/{task['task_id']}/logs")
    assert [(one["seq"], one["level"], one["line"]) for one in log["lines"]] == [
        (1, "info", "one"),
        (2, "error", "two\ufffd"),
    ]
    assert [one["seq"] for one in (await api.get(f"/tasks/{task['task_id']}/logs?after=1"))["lines"]] == [2]


async def test_whole_numbers_may_be_written_with_a_fraction_of_zero(api: Caller):
    task = await claimed(api)
    assert (await report(api, task, "logs", lines=[{"seq": 1.0, "line": "x"}])).status == 200
    body = b'{"agent_id":"a1","lease":%d.0,"result":{"n":1.0}}' % task["lease"]
    assert (await api.post(f"/tasks/{task['task_id']}/complete", body))["state"] == "succeeded"


async def test_first_result_stands(api: Caller):
    task = await claimed(api)
    assert (await report(api, task, "complete", result=1)).status == 200
    assert (await report(api, task, "complete", result=1)).body["duplicate"]
    other = await report(api, task, "complete", result=2)
    assert (other.status, other.body["code"]) == (409, "conflicting_result")
    assert (await api.get(f"/tasks/{task['task_id']}"))["task"]["result"] == 1


async def test_wrong_lease_is_refused(api: Caller):
    task = await claimed(api)
    for verb, fields in (
        ("acknowledge", {}),
        ("progress", {"progress": 0.5}),
        ("logs", {"lines": []}),
        ("complete", {"result": 1}),
        ("fail", {"error": "x"}),
        ("release", {}),
        ("cancelled", {}),
    ):
        answer = await report(api, {**task, "lease": 99}, verb, **fields)
        assert (answer.status, answer.body["code"]) == (409, "lease_lost"), verb
    assert await state(api, task["task_id"]) == "leased"


async def test_failed_attempts_end_dead_with_their_error(api: Caller):
    task = await claimed(api, max_attempts=1)
    failed = await report(api, task, "fail", error={"why": "no luck"})
    assert (failed.body["state"], failed.body["reason"]) == ("dead", "attempts_exhausted")
    assert (await api.get(f"/tasks/{task['task_id']}/result"))["error"] == {"why": "no luck"}


async def test_released_task_waits_again_without_a_counted_attempt(api: Caller):
    task = await claimed(api)
    assert (await report(api, task, "release")).body["state"] == "queued"
    again = (await api.post("/tasks/claim", {"agent_id": "a1", "wait_s": 5}))["tasks"][0]
    assert (again["attempt"], again["lease"]) == (1, 2)


async def test_cancelled_task_is_confirmed(api: Caller):
    task = await claimed(api)
    await report(api, task, "acknowledge")
    assert (await api.post(f"/tasks/{task['task_id']}/cancel"))["state"] == "cancelling"
    assert (await report(api, task, "progress", progress=0.1)).body["state"] == "cancelling"
    assert (await report(api, task, "cancelled")).body["state"] == "cancelled"


async def test_result_over_the_limit_is_refused(api: Caller):
    task = await claimed(api)
    answer = await report(api, task, "complete", result="x" * 1_048_576)
    assert answer.status == 413
    assert await state(api, task["task_id"]) == "leased"


async def test_nobody_reports_for_another_principal_s_agent(plane: Plane):
    task = await claimed(plane.main)
    stranger = await plane.key("tasks:work", "fleet:write")
    for verb in ("acknowledge", "complete", "fail", "release", "cancelled"):
        answer = await report(stranger, task, verb)
        assert (answer.status, answer.body["code"]) == (409, "owned_by_another"), verb
    assert await state(plane.main, task["task_id"]) == "leased"
