"""From token to result, by heartbeat and by stream."""

import asyncio
from typing import Any

from support.machines import Agent, Machines

PULL = {"taskType": "docker.pull", "payload": {"image": "myapp", "digest": "sha256:abc123"}, "timeout": 300}


async def submit(machines: Machines, agent: Agent, **more: Any) -> str:
    done = await machines.open.good("POST", "/api/v1/tasks", {"agent": agent.name, **PULL, **more})
    return str(done["taskId"])


async def test_agent_joins_gets_a_task_by_heartbeat_and_completes_it(machines: Machines):
    agent = await machines.agent()
    task_id = await submit(machines, agent)
    beat = await agent.beat()
    assert [task["taskId"] for task in beat["tasks"]] == [task_id]
    task = beat["tasks"][0]
    assert task["payload"] == PULL["payload"]
    assert task["timeout"] == 300
    lease = task["lease"]
    await agent.caller.good("POST", f"{agent.path}/tasks/{task_id}/ack", {"lease": lease})
    done = {"success": True, "result": {"imageId": "sha256:abc123"}, "lease": lease}
    answer = await agent.caller.good("POST", f"{agent.path}/tasks/{task_id}/complete", done)
    assert answer == {"acknowledged": True}
    again = await agent.caller.good("POST", f"{agent.path}/tasks/{task_id}/complete", done)
    assert again == {"acknowledged": True, "duplicate": True}
    shown = await machines.open.good("GET", f"/api/v1/tasks/{task_id}")
    assert (shown["status"], shown["result"]) == ("succeeded", {"imageId": "sha256:abc123"})


async def test_task_goes_over_the_stream_and_only_there_while_it_stands(machines: Machines):
    agent = await machines.agent()
    async with agent.stream() as stream:
        await stream.begun()
        stream.say(type="hello", instanceId="one", running=[])
        task_id = await submit(machines, agent)
        task = (await stream.hear("task_assigned"))["task"]
        assert task["taskId"] == task_id
        assert (await agent.beat())["tasks"] == []
        mark = {"taskId": task_id, "lease": task["lease"]}
        stream.say(type="task_accepted", **mark)
        assert await stream.hear() == {"type": "task_started", **mark}
        stream.say(type="task_progress", progress=50, message="Pulling layer 3/5", taskId=task_id)
        stream.say(type="task_log", level="info", message="…", taskId=task_id)
        stream.say(type="task_completed", success=True, result={"a": 1}, **mark)
        assert await stream.hear() == {"type": "task_recorded", **mark}
    shown = await machines.open.good("GET", f"/api/v1/tasks/{task_id}")
    assert (shown["status"], shown["progress"], shown["message"]) == ("succeeded", 50, "Pulling layer 3/5")
    logs = await machines.open.good("GET", f"/api/v1/tasks/{task_id}/logs")
    assert [line["message"] for line in logs["lines"]] == ["…"]


async def test_task_of_the_coordinator_is_delivered_here(machines: Machines):
    agent = await machines.agent()
    body = {
        "task_data": {"task_type": "docker.run", "parameters": {"image": "x"}},
        "requirements": {"capabilities": ["docker"]},
        "repeatable": False,
        "timeout_s": 20,
    }
    done = await machines.open.good("POST", "/tasks/submit", body)
    task = (await agent.beat())["tasks"][0]
    assert task["taskId"] == done["task_id"]
    assert (task["taskType"], task["payload"], task["timeout"]) == ("docker.run", {"image": "x"}, 20)
    assert task["idempotent"] is False


async def test_agent_appears_in_discoveries_of_the_coordinator(machines: Machines):
    agent = await machines.agent(labels={"role": "deployment"})
    found = await machines.open.good("POST", "/agents/discover", {"capabilities": ["docker"]})
    assert [one["agent_id"] for one in found["agents"]] == [agent.name]
    assert found["agents"][0]["agent_type"] == "deployment"


async def test_agent_that_speaks_only_the_published_document_is_sent_what_counts_as_begun(machines: Machines):
    agent = await machines.agent()
    task_id = await submit(machines, agent, taskType="docker.run")
    said = {
        "status": "healthy",
        "resourceUsage": {"cpu": 15.5, "memory": 45.2, "disk": 60.0},
        "capabilities": ["docker", "compose"],
        "runningTasks": 2,
    }
    first = await agent.caller.good("POST", f"{agent.path}/heartbeat", said)
    assert [task["taskId"] for task in first["tasks"]] == [task_id]
    machines.clock.advance(30)
    assert (await agent.caller.good("POST", f"{agent.path}/heartbeat", said))["tasks"] == []
    shown = await machines.open.good("GET", f"/api/v1/tasks/{task_id}")
    assert shown["status"] == "running"
    done = {"success": True, "result": {"imageId": "sha256:abc123", "containerId": "container-uuid"}}
    assert await agent.caller.good("POST", f"{agent.path}/tasks/{task_id}/complete", done) == {
        "acknowledged": True
    }
    await asyncio.sleep(0)
