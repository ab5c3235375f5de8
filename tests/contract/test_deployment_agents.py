"""Deployment agents on both engines: joining, taking a certain task, parting, and what replicas see."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stellwerk.database.database import Database
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.settings import FleetSettings
from support.machines import Machines, new_csr, running_machines

BODY = {"name": "agent-1", "version": "1.0.0", "capabilities": ["docker"]}
RUN = {"taskType": "docker.run", "payload": {"image": "app"}, "timeout": 3600}


@pytest.fixture
async def machines(database: Database, tmp_path: Path) -> AsyncIterator[Machines]:
    async with running_machines(tmp_path / "data", database=database) as running:
        yield running


async def test_one_of_many_registrations_with_one_token_is_admitted(machines: Machines):
    headers = {"X-Agent-Token": await machines.token()}
    answers = await asyncio.gather(
        *(
            machines.open.call("POST", "/api/v1/agents/register", {**BODY, "name": f"a{number}"}, headers)
            for number in range(6)
        )
    )
    assert sorted(one.status for one in answers) == [201] + [401] * 5
    assert len(await machines.open.good("GET", "/api/v1/agents")) == 1


async def test_one_of_many_registrations_of_one_name_is_admitted_and_the_other_tokens_stay_good(
    machines: Machines,
):
    tokens = [await machines.token() for _ in range(4)]
    answers = await asyncio.gather(
        *(
            machines.open.call("POST", "/api/v1/agents/register", BODY, {"X-Agent-Token": token})
            for token in tokens
        )
    )
    assert sorted(one.status for one in answers) == [201, 409, 409, 409]
    for number, (token, answer) in enumerate(zip(tokens, answers, strict=True)):
        body = {**BODY, "name": f"other-{number}"}
        again = await machines.open.call("POST", "/api/v1/agents/register", body, {"X-Agent-Token": token})
        assert again.status == (401 if answer.status == 201 else 201)


async def test_repeated_registration_is_the_same_agent(machines: Machines):
    _, csr = new_csr()
    headers = {"X-Agent-Token": await machines.token()}
    answers = [
        await machines.open.call("POST", "/api/v1/agents/register", {**BODY, "csr": csr}, headers)
        for _ in range(2)
    ]
    assert answers[0].body["agentId"] == answers[1].body["agentId"]


async def test_two_who_claim_one_task_do_not_both_get_it(machines: Machines):
    agents = [await machines.agent(f"a{number}") for number in range(4)]
    given = {"capability": "docker", **RUN}
    task_id = (await machines.open.good("POST", "/api/v1/tasks", given))["taskId"]
    answers = await asyncio.gather(
        *(agent.caller.call("POST", f"{agent.path}/tasks/{task_id}/claim") for agent in agents)
    )
    assert sorted(one.status for one in answers) == [200, 409, 409, 409]


async def test_removed_agent_leaves_nothing_behind(machines: Machines):
    agent = await machines.agent()
    begun = (await machines.open.good("POST", "/api/v1/tasks", {"agent": agent.name, **RUN}))["taskId"]
    lease = (await agent.beat())["tasks"][0]["lease"]
    await agent.caller.good("POST", f"{agent.path}/tasks/{begun}/ack", {"lease": lease})
    waiting = (await machines.open.good("POST", "/api/v1/tasks", {"agent": agent.name, **RUN}))["taskId"]
    await machines.open.good("DELETE", agent.path)
    tasks = [await machines.open.good("GET", f"/api/v1/tasks/{one}") for one in (begun, waiting)]
    assert [one["status"] for one in tasks] == ["lost", "failed"]
    assert machines.fleet.get(agent.name) is None
    assert (await machines.agent()).id != agent.id


async def test_other_replica_sees_agents_and_their_changes(machines: Machines):
    agent = await machines.agent()
    other = Deployments(
        machines.database,
        machines.journal,
        machines.fleet,
        machines.identities,
        settings=FleetSettings(),
        clock=machines.clock,
    )
    assert (
        await other.get(agent.id) if machines.database.engine == "postgres" else await other.find(agent.name)
    )
    await machines.open.good("PUT", agent.path, {"labels": {"a": "1"}})
    if machines.database.engine == "postgres":
        machines.clock.advance(1)
        assert (await other.get(agent.id)).labels == {"a": "1"}


async def test_renewal_survives_a_change_of_the_agent(machines: Machines):
    agent = await machines.agent()
    await agent.beat(version="1.1.0", maxTasks=3, capabilities=["docker"])
    shown = await machines.open.good("GET", agent.path)
    assert (shown["version"], shown["maxTasks"], shown["capabilities"]) == ("1.1.0", 3, ["docker"])
    machines.clock.advance(16.1 * 3600)
    _, csr = new_csr()
    answers = [await agent.beat(csr=csr) for _ in range(2)]
    assert answers[0]["certificateRenewal"] == answers[1]["certificateRenewal"]
