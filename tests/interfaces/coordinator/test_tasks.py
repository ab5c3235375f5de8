"""Tasks over HTTP, for those who give them."""

import asyncio
from typing import Any

from support.plane import Caller, Plane

from .frames import finished, register, state, submit


async def task(api: Caller, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/tasks/{task_id}"))["task"]
    return found


async def test_priority_is_taken_in_any_letter_case_and_echoed_as_sent(api: Caller):
    for priority in ("urgent", "CRITICAL", "High", "normal", "low", 25):
        answer = await api.post("/tasks/submit", {"task_data": {}, "priority": priority})
        assert answer["priority"] == priority
        assert (await task(api, answer["task_id"]))["priority"] == str(priority)


async def test_missing_priority_is_normal(api: Caller):
    assert (await api.post("/tasks/submit", {"task_data": {}}))["priority"] == "normal"
    assert (await api.post("/tasks/submit", {"task_data": {}, "priority": None}))["priority"] == "normal"
    assert (await api.get("/tasks/queues"))["queue_sizes"]["normal"] == 2


async def test_unknown_priority_is_refused(api: Caller):
    for priority in ("soon", "", "NORMAL ", 50, -1):
        answer = await api.call("POST", "/tasks/submit", {"task_data": {}, "priority": priority})
        assert (answer.status, answer.body) == (400, {"detail": f"Invalid priority: {priority}"})
    assert (await api.get("/tasks"))["count"] == 0


async def test_task_is_shown_as_it_was_sent(api: Caller):
    sent = {
        "task_data": {"task_type": "sum", "n": 1.0, "deep": {"ü": [None, True]}},
        "priority": "high",
        "requirements": {"capabilities": ["x"], "model": "llama2"},
        "repeatable": False,
        "max_attempts": 5,
        "timeout_s": 2.5,
        "deadline": "2090-01-01T00:00:00+00:00",
    }
    shown = await task(api, (await api.post("/tasks/submit", sent))["task_id"])
    assert {name: shown[name] for name in sent if name != "deadline"} == {
        name: value for name, value in sent.items() if name != "deadline"
    }
    assert shown["deadline"] == "2090-01-01T00:00:00.000000+00:00"
    assert (shown["state"], shown["attempt"], shown["result"], shown["assigned_agent"]) == (
        "queued",
        0,
        None,
        None,
    )


async def test_task_data_is_handed_on_byte_for_byte(api: Caller):
    raw = b'{ "n" : 1.50, "big": 123456789012345678901234567890, "x": "\\u00fc" }'
    answer = await api.post("/tasks/submit", b'{"task_data":' + raw + b"}")
    async with api.session.get(f"{api.url}/tasks/{answer['task_id']}") as got:
        assert raw in await got.read()


async def test_same_task_id_and_body_is_the_same_task(api: Caller):
    body = {"task_data": {"n": 1}, "task_id": "mine"}
    first = await api.post("/tasks/submit", body)
    again = await api.post("/tasks/submit", body)
    assert (first["task_id"], first["duplicate"]) == ("mine", False)
    assert (again["task_id"], again["duplicate"]) == ("mine", True)
    assert again["submitted_at"] == first["submitted_at"]
    other = await api.call("POST", "/tasks/submit", {"task_data": {"n": 2}, "task_id": "mine"})
    assert (other.status, other.body["code"]) == (409, "idempotency_conflict")
    within = await api.post("/tasks/submit", {"task_data": {"task_id": "inner"}})
    assert within["task_id"] == "inner"


async def test_idempotency_key_is_a_header_or_a_field(api: Caller):
    body = {"task_data": {"n": 1}}
    header = {"Idempotency-Key": "k1"}
    first = await api.post("/tasks/submit", body, headers=header)
    assert (await api.post("/tasks/submit", body, headers=header))["duplicate"]
    assert (await api.post("/tasks/submit", {**body, "idempotency_key": "k1"}))["task_id"] == first["task_id"]
    differing = await api.call("POST", "/tasks/submit", {**body, "idempotency_key": "k2"}, headers=header)
    assert differing.status == 409


async def test_delayed_task_waits_for_its_time(api: Caller):
    await register(api)
    task_id = await submit(api, delay_s=0.3)
    assert (await api.post("/tasks/claim", {"agent_id": "a1"}))["count"] == 0
    claimed = await api.post("/tasks/claim", {"agent_id": "a1", "wait_s": 10})
    assert [one["task_id"] for one in claimed["tasks"]] == [task_id]


async def test_list_pages_through_tasks_newest_first(api: Caller):
    ids = [await submit(api, priority="low" if number % 2 else "high") for number in range(5)]
    first = await api.get("/tasks?limit=3")
    rest = await api.get(f"/tasks?limit=3&cursor={first['next_cursor']}")
    assert [one["task_id"] for one in first["tasks"] + rest["tasks"]] == ids[::-1]
    assert rest["next_cursor"] is None
    low = await api.get("/tasks?priority=LOW")
    assert [one["task_id"] for one in low["tasks"]] == [ids[3], ids[1]]
    assert "task_data" not in low["tasks"][0]
    assert (await api.get("/tasks?state=succeeded"))["count"] == 0
    assert (await api.get("/tasks?task_type=t&agent_id=nobody"))["count"] == 0


async def test_list_refuses_what_it_does_not_know(api: Caller):
    for query, status in (
        ("limit=0", 422),
        ("limit=x", 422),
        ("limit=1&limit=2", 422),
        ("state=asleep", 422),
        ("state=null", 422),
        ("priority=soon", 400),
        ("cursor=!!", 404),
    ):
        answer = await api.call("GET", f"/tasks?{query}")
        assert answer.status == status, (query, answer)
        assert isinstance(answer.body["detail"], str)


async def test_result_is_waited_for(api: Caller):
    await register(api)
    task_id = await submit(api)
    early = await api.get(f"/tasks/{task_id}/result")
    assert (early["finished"], early["state"], early["result"]) == (False, "queued", None)
    waiting = asyncio.create_task(finished(api, task_id))
    lease = (await api.post("/tasks/claim", {"agent_id": "a1"}))["tasks"][0]["lease"]
    await api.post(
        f"/tasks/{task_id}/complete", {"agent_id": "a1", "lease": lease, "result": [1, {"a": None}]}
    )
    assert (await waiting)["result"] == [1, {"a": None}]


async def test_waiting_task_is_cancelled_and_requeued(api: Caller):
    task_id = await submit(api)
    assert (await api.post(f"/tasks/{task_id}/cancel"))["state"] == "cancelled"
    assert (await api.post(f"/tasks/{task_id}/cancel"))["duplicate"]
    assert (await api.post(f"/tasks/{task_id}/requeue"))["state"] == "queued"
    assert (await api.call("POST", f"/tasks/{task_id}/requeue")).status == 409


async def test_another_principal_s_task_is_not_cancelled(plane: Plane):
    alice, bob = await plane.key("tasks:submit", "tasks:read"), await plane.key("tasks:submit")
    task_id = await submit(alice)
    answer = await bob.call("POST", f"/tasks/{task_id}/cancel")
    assert (answer.status, answer.body["code"]) == (409, "owned_by_another")
    assert await state(alice, task_id) == "queued"


async def test_queue_is_cleared_by_its_lower_case_name(api: Caller):
    for priority in ("low", "low", "high"):
        await submit(api, priority=priority)
    assert (await api.call("POST", "/tasks/queues/LOW/clear")).body == {"detail": "Invalid priority: LOW"}
    cleared = await api.post("/tasks/queues/low/clear")
    assert (cleared["message"], cleared["priority"], cleared["cleared_count"]) == (
        "Cleared 2 tasks from low queue",
        "low",
        2,
    )
    sizes = (await api.get("/tasks/queues"))["queue_sizes"]
    assert sizes == {"urgent": 0, "critical": 0, "high": 1, "normal": 0, "low": 0}
    stats = await api.get("/tasks/queues/stats")
    assert stats["queue_sizes"] == sizes == stats["distribution_stats"]["queue_sizes"]


async def test_strategy_is_switched_in_any_letter_case_and_shown(api: Caller):
    switched = await api.put("/load-balancer/strategy?strategy=Round_Robin")
    assert switched["message"] == "Load balancing strategy set to Round_Robin"
    assert switched["strategy"] == "Round_Robin"
    assert (await api.get("/load-balancer/stats"))["stats"]["strategy"] == "round_robin"
    refused = await api.call("PUT", "/load-balancer/strategy?strategy=geographic")
    assert (refused.status, refused.body) == (400, {"detail": "Invalid strategy: geographic"})
    assert (await api.call("PUT", "/load-balancer/strategy")).status == 422
    assert (await api.call("GET", "/load-balancer/strategy")).headers["allow"] == "OPTIONS, PUT"


async def test_unknown_task_is_not_found(api: Caller):
    for method, verb in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/logs"),
        ("POST", "/cancel"),
        ("POST", "/requeue"),
    ):
        answer = await api.call(method, f"/tasks/nothing{verb}")
        assert answer.status == 404
        assert answer.body["detail"] == "Task not found"
        assert answer.body["message"] == "Resource not found"
