"""The examples of the published document, verbatim."""

import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from interfaces.deployment.document import COMPLETE, HEARTBEAT, PAYLOAD, REGISTER, UPDATE
from support.machines import Agent, Machines

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def registered(machines: Machines) -> Agent:
    headers = {"X-Agent-Token": await machines.token()}
    answer = await machines.open.call("POST", "/api/v1/agents/register", REGISTER, headers)
    assert answer.status == 201
    return Agent(
        answer.body, machines.open.with_certificate(answer.body["certificate"]["cert"]), REGISTER["name"]
    )


async def submitted(machines: Machines, agent: Agent, **more: Any) -> str:
    given = {"agent": agent.name, "taskType": "docker.pull", "payload": PAYLOAD, "timeout": 300}
    return str((await machines.open.good("POST", "/api/v1/tasks", {**given, **more}))["taskId"])


async def test_registration_answers_with_everything_an_agent_needs(machines: Machines):
    agent = await registered(machines)
    joined = agent.joined
    assert (
        joined["config"].items()
        >= {
            "heartbeatInterval": 30,
            "taskPollInterval": 5,
            "logLevel": "info",
        }.items()
    )
    assert joined["token"].count(".") == 2
    certificate = joined["certificate"]
    assert set(certificate) == {"cert", "key", "ca", "expiresAt"}
    assert INSTANT.fullmatch(certificate["expiresAt"])
    leaf = x509.load_pem_x509_certificate(certificate["cert"].encode())
    key = load_pem_private_key(certificate["key"].encode(), None)
    assert leaf.public_key() == key.public_key()
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 24 * 3600 + 60


async def test_list_is_a_bare_array_of_the_documented_fields(machines: Machines):
    agent = await registered(machines)
    await agent.caller.good("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    for query in ("", "?status=online", "?capability=docker", "?status=online&capability=compose"):
        rows = await machines.open.good("GET", f"/api/v1/agents{query}")
        assert len(rows) == 1
        row = rows[0]
        assert (
            row.items()
            >= {
                "id": agent.id,
                "name": "agent-prod-01",
                "version": "1.0.0",
                "status": "online",
                "capabilities": ["docker", "compose"],
            }.items()
        )
        assert row["resourceUsage"].items() >= {"cpu": 15.5, "memory": 45.2}.items()
        assert INSTANT.fullmatch(row["lastHeartbeat"])
    for query in ("?status=offline", "?status=degraded", "?capability=nomad"):
        assert await machines.open.good("GET", f"/api/v1/agents{query}") == []
    answer = await machines.open.call("GET", "/api/v1/agents?page=2&pageSize=1")
    assert (answer.body, answer.headers["x-total-count"]) == ([], "1")


async def test_full_details_have_targets_and_tasks(machines: Machines):
    agent = await registered(machines)
    targets = [{"host": "web-1", "labels": {"tier": "web"}}]
    await machines.open.good("PUT", agent.path, {"targets": targets})
    task_id = await submitted(machines, agent)
    await agent.beat()
    shown = await machines.open.good("GET", agent.path)
    assert shown["targets"] == targets
    assert [(one["taskId"], one["status"]) for one in shown["tasks"]] == [(task_id, "assigned")]


async def test_update_replaces_what_is_given(machines: Machines):
    agent = await registered(machines)
    shown = await machines.open.good("PUT", agent.path, UPDATE)
    assert shown["labels"] == {"datacenter": "us-west-2"}
    assert shown["capabilities"] == ["docker", "compose", "ssh"]
    await agent.caller.good("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    shown = await machines.open.good("GET", agent.path)
    # What it is found by is what it may do and has.
    assert (shown["capabilities"], shown["allowedCapabilities"]) == (
        ["docker", "compose"],
        ["docker", "compose", "ssh"],
    )


async def test_delete_revokes_and_removes(machines: Machines):
    agent = await registered(machines)
    assert await machines.open.good("DELETE", agent.path) == {"deleted": True}
    assert (await machines.open.call("DELETE", agent.path)).status == 404
    assert (await machines.open.call("GET", agent.path)).code == "agent.not_found"
    assert machines.fleet.get("agent-prod-01") is None
    await registered(machines)


async def test_heartbeat_answers_with_the_documented_task(machines: Machines):
    agent = await registered(machines)
    for name, value in (("user", "user"), ("password", "token")):
        await machines.open.good("PUT", f"/api/v1/admin/secrets/{name}", {"value": value})
    credentials = {"registry.username": "secret:user", "registry.password": "secret:password"}
    task_id = await submitted(machines, agent, credentials=credentials)
    answer = await agent.caller.good("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    assert (
        answer["tasks"][0].items()
        >= {
            "taskId": task_id,
            "taskType": "docker.pull",
            "payload": PAYLOAD,
            "credentials": {"registry.username": "user", "registry.password": "token"},
            "timeout": 300,
        }.items()
    )
    assert "certificateRenewal" not in answer


async def test_certificate_is_renewed_within_its_last_hour(machines: Machines):
    agent = await registered(machines)
    machines.clock.advance(22.5 * 3600)
    assert "certificateRenewal" not in await agent.caller.good("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    machines.clock.advance(0.6 * 3600)
    answer = await agent.caller.good("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    renewal = answer["certificateRenewal"]
    assert INSTANT.fullmatch(renewal["expiresAt"])
    machines.clock.advance(3600)
    renewed = agent.caller.with_certificate(renewal["cert"])
    assert (await renewed.call("POST", f"{agent.path}/heartbeat", HEARTBEAT)).status == 200
    old = await agent.caller.call("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    assert (old.status, old.code) == (401, "agent.certificate.expired")


async def test_completion_and_its_logs(machines: Machines):
    agent = await registered(machines)
    task_id = await submitted(machines, agent)
    await agent.caller.good("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    path = f"{agent.path}/tasks/{task_id}/complete"
    assert await agent.caller.good("POST", path, COMPLETE) == {"acknowledged": True}
    logs = await machines.open.good("GET", f"/api/v1/tasks/{task_id}/logs")
    assert [(one["timestamp"], one["message"]) for one in logs["lines"]] == [
        ("2026-01-10T14:23:45Z", "Pulling image..."),
        ("2026-01-10T14:23:50Z", "Image pulled successfully"),
    ]


async def test_pending_tasks_are_shown_without_payload(machines: Machines):
    agent = await registered(machines)
    task_id = await submitted(machines, agent, taskType="docker.run", priority=10)
    answer = await agent.caller.good("GET", f"{agent.path}/tasks")
    assert set(answer) == {"tasks"}
    task = answer["tasks"][0]
    assert INSTANT.fullmatch(task.pop("createdAt"))
    assert task == {"taskId": task_id, "taskType": "docker.run", "priority": 10}


async def test_stream_speaks_the_documented_messages(machines: Machines):
    agent = await registered(machines)
    async with agent.stream() as stream:
        await stream.begun()
        assert stream.accepted is not None
        assert stream.accepted["subprotocol"] == "agent.v1"
        task_id = await submitted(machines, agent)
        assigned = await stream.hear()
        assert assigned["type"] == "task_assigned"
        assert assigned["task"]["taskId"] == task_id
        stream.say(type="task_progress", taskId=task_id, progress=50, message="Pulling layer 3/5")
        stream.say(type="task_log", taskId=task_id, level="info", message="...")
        # One that has not begun would end here and now, and the frames be of a lease that is over.
        path = f"/api/v1/tasks/{task_id}"
        shown = await machines.until(path, lambda task: task["progress"] == 50)
        assert (shown["status"], shown["message"]) == ("running", "Pulling layer 3/5")
        await machines.until(f"{path}/logs", lambda logs: bool(logs["lines"]))
        await machines.open.good("POST", f"{path}/cancel")
        assert await stream.hear() == {"type": "task_cancelled", "taskId": task_id}


async def test_missing_heartbeats_for_three_intervals_mark_the_agent_offline(machines: Machines):
    agent = await registered(machines)
    await agent.caller.good("POST", f"{agent.path}/heartbeat", HEARTBEAT)
    for seconds, status in ((31, "online"), (20, "degraded"), (40, "offline")):
        machines.clock.advance(seconds)
        await machines.fleet.sweep(machines.clock.now_us())
        assert (await machines.open.good("GET", agent.path))["status"] == status, seconds


async def test_errors_have_the_documented_statuses(machines: Machines):
    agent = await registered(machines)
    wrong = {"X-Agent-Token": "reg_nonsense"}
    for status, (method, path, body, headers) in (
        (401, ("POST", "/api/v1/agents/register", REGISTER, wrong)),
        (404, ("GET", "/api/v1/agents/nobody", None, None)),
        (409, ("POST", "/api/v1/agents/register", REGISTER, {"X-Agent-Token": await machines.token()})),
    ):
        answer = await machines.open.call(method, path, body, headers)
        assert answer.status == status
        assert set(answer.body) == {"error", "requestId"}
        assert set(answer.body["error"]) == {"code", "message", "details"}
    machines.clock.advance(100)
    await machines.fleet.sweep(machines.clock.now_us())
    given = {"agent": agent.name, "taskType": "docker.pull"}
    answer = await machines.open.call("POST", "/api/v1/tasks?mode=sync", given)
    assert (answer.status, answer.code) == (503, "agent.offline")
    assert "retry-after" in answer.headers
    assert (await machines.open.call("POST", "/api/v1/tasks", given)).status == 202
