"""Secrets: delivered to certified holders only, shown nowhere, masked in what comes back."""

import json
from typing import Any

from stellwerk.interfaces.deployment.credentials import Masks
from support.machines import Agent, Machines

SECRET = 'hun"ter2-s3cr3t'
GIVEN = {"taskType": "docker.pull", "payload": {}, "credentials": {"registry.password": "secret:password"}}


async def carrying(machines: Machines, agent: Agent) -> tuple[str, Any]:
    """Give the agent a task with a secret; return its id and the delivery."""
    await machines.open.good("PUT", "/api/v1/admin/secrets/password", {"value": SECRET})
    given = {"agent": agent.name, **GIVEN}
    task_id = str((await machines.open.good("POST", "/api/v1/tasks", given))["taskId"])
    return task_id, (await agent.beat())["tasks"][0]


async def everything(machines: Machines, task_id: str) -> str:
    """Return everything that anybody can read, as text."""
    paths = (
        f"/api/v1/tasks/{task_id}",
        f"/api/v1/tasks/{task_id}/logs",
        "/api/v1/tasks",
        "/api/v1/agents",
        "/api/v1/admin/secrets",
        f"/tasks/{task_id}",
        f"/tasks/{task_id}/logs",
        "/events?limit=1000",
    )
    return json.dumps([await machines.open.good("GET", path) for path in paths])


async def test_values_are_delivered_and_then_seen_nowhere(machines: Machines):
    agent = await machines.agent()
    task_id, delivered = await carrying(machines, agent)
    assert delivered["credentials"] == {"registry.password": SECRET}
    lease = delivered["lease"]
    said = {
        "success": False,
        "error": {"type": "docker.pull", "message": f"login with {SECRET} failed"},
        "result": {"command": f"docker login -p {SECRET}"},
        "logs": [{"message": f"using {SECRET}"}],
        "lease": lease,
    }
    await agent.caller.good("POST", f"{agent.path}/tasks/{task_id}/complete", said)
    shown = await machines.open.good("GET", f"/api/v1/tasks/{task_id}")
    assert shown["credentials"] == {"registry.password": "secret:password"}
    assert shown["error"]["message"] == "login with *** failed"
    assert shown["error"]["result"] == {"command": "docker login -p ***"}
    text = await everything(machines, task_id)
    assert SECRET not in text
    assert json.dumps(SECRET)[1:-1] not in text


async def test_stream_masks_progress_logs_and_results(machines: Machines):
    agent = await machines.agent()
    task_id, delivered = await carrying(machines, agent)
    async with agent.stream() as stream:
        await stream.begun()
        mark = {"taskId": task_id, "lease": delivered["lease"]}
        stream.say(type="task_progress", progress=10, message=SECRET, **mark)
        stream.say(type="task_log", message=f"a {SECRET} b", **mark)
        stream.say(type="task_completed", success=True, result={"said": SECRET}, **mark)
        await stream.hear("task_recorded")
    shown = await machines.open.good("GET", f"/api/v1/tasks/{task_id}")
    assert (shown["message"], shown["result"]) == ("***", {"said": "***"})
    assert json.dumps(SECRET)[1:-1] not in await everything(machines, task_id)


async def test_task_whose_secret_is_missing_fails_with_its_reason(machines: Machines):
    agent = await machines.agent()
    given = {"agent": agent.name, **GIVEN}
    task_id = (await machines.open.good("POST", "/api/v1/tasks", given))["taskId"]
    assert (await agent.beat())["tasks"] == []
    shown = await machines.open.good("GET", f"/api/v1/tasks/{task_id}")
    assert (shown["status"], shown["error"]["type"]) == ("failed", "credentials.unavailable")


async def test_secret_is_read_when_the_task_is_delivered(machines: Machines):
    agent = await machines.agent()
    given = {"agent": agent.name, **GIVEN}
    await machines.open.good("PUT", "/api/v1/admin/secrets/password", {"value": "first"})
    await machines.open.good("POST", "/api/v1/tasks", given)
    await machines.open.good("PUT", "/api/v1/admin/secrets/password", {"value": "second"})
    assert (await agent.beat())["tasks"][0]["credentials"] == {"registry.password": "second"}


async def test_secrets_are_listed_without_values_and_removed(machines: Machines):
    done = await machines.open.good("PUT", "/api/v1/admin/secrets/a.b", {"value": SECRET})
    assert done == {"name": "a.b", "version": 1}
    listed = await machines.open.good("GET", "/api/v1/admin/secrets")
    assert [one["name"] for one in listed] == ["a.b"]
    assert SECRET not in json.dumps(listed)
    assert (await machines.open.call("GET", "/api/v1/admin/secrets/a.b")).status == 405
    assert (await machines.open.call("PUT", "/api/v1/admin/secrets/-x", {"value": "v"})).status == 422
    await machines.open.good("DELETE", "/api/v1/admin/secrets/a.b")
    assert (await machines.open.call("DELETE", "/api/v1/admin/secrets/a.b")).status == 404


def test_short_values_are_hidden_as_words_and_json_stays_json():
    masks = Masks({"user": "lab", "pin": "4711", "password": 'a"b-secret'})
    assert masks.hide("lab: label, available/lab/") == "***: label, available/***/"
    said = {"label": "lab", "port": 4711, "size": 47110, "ok": True, "none": None, "said": ['x a"b-secret y']}
    assert json.loads(masks.hide_json(json.dumps(said))) == {
        "label": "***",
        "port": "***",
        "size": 47110,
        "ok": True,
        "none": None,
        "said": ["x *** y"],
    }
    assert masks.hide_json('{"a": 1}') == '{"a": 1}'
