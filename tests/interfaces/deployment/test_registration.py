"""Registration: what burns a token and what does not, repeated answers, replacement, names."""

import asyncio
from typing import Any

import pytest

from support.machines import Answer, Machines, new_csr

BODY = {"name": "agent-1", "version": "1.0.0", "capabilities": ["docker"]}


async def register(machines: Machines, token: str, header: str = "X-Agent-Token", **more: Any) -> Answer:
    return await machines.open.call("POST", "/api/v1/agents/register", {**BODY, **more}, {header: token})


async def test_both_headers_carry_a_token(machines: Machines):
    for number, header in enumerate(("X-Agent-Token", "X-Registration-Token")):
        answer = await register(machines, await machines.token(), header, name=f"a{number}")
        assert answer.status == 201


async def test_token_admits_one_agent(machines: Machines):
    token = await machines.token()
    assert (await register(machines, token)).status == 201
    answer = await register(machines, token, name="agent-2")
    assert (answer.status, answer.code) == (401, "registration_token.used")
    assert [one["name"] for one in await machines.open.good("GET", "/api/v1/agents")] == ["agent-1"]


async def test_one_of_many_at_once_is_admitted(machines: Machines):
    token = await machines.token()
    answers = await asyncio.gather(*(register(machines, token, name=f"a{number}") for number in range(8)))
    assert sorted(one.status for one in answers) == [201] + [401] * 7
    assert len(await machines.open.good("GET", "/api/v1/agents")) == 1


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": "No Such Name"}, 422, "invalid"),
        ({"name": "register"}, 422, "invalid"),
        ({"version": ""}, 422, "invalid"),
        ({"csr": "nonsense"}, 400, "csr.malformed"),
        ({"capabilities": ["docker", "winrm"]}, 403, "registration_token.scope"),
        ({"name": "taken"}, 409, "agent.name_taken"),
        ({"name": "worker-1"}, 409, "owned_by_another"),
    ],
)
async def test_refused_request_burns_no_token(machines: Machines, change: Any, status: int, code: str):
    await machines.agent("taken")
    worker = {"agent_id": "worker-1", "agent_type": "worker"}
    await machines.open.good("POST", "/agents/register", worker)
    token = await machines.token(capabilities=["docker"])
    answer = await register(machines, token, **change)
    assert (answer.status, answer.code) == (status, code)
    assert (await register(machines, token)).status == 201


async def test_lost_answer_is_repeated_for_the_same_key_only(machines: Machines):
    token = await machines.token()
    _, csr = new_csr()
    first, again = await register(machines, token, csr=csr), await register(machines, token, csr=csr)
    assert (first.status, again.status) == (201, 201)
    assert first.body["agentId"] == again.body["agentId"]
    assert "key" not in first.body["certificate"]
    _, other = new_csr()
    assert (await register(machines, token, csr=other)).code == "registration_token.used"
    caller = machines.open.with_certificate(again.body["certificate"]["cert"])
    assert (await caller.call("POST", f"/api/v1/agents/{first.body['agentId']}/heartbeat", {})).status == 200


async def test_token_with_a_name_and_labels_forces_them(machines: Machines):
    token = await machines.token(name="agent-1", labels={"role": "deployment"})
    assert (await register(machines, token, name="agent-2")).code == "registration_token.scope"
    joined = await register(machines, token, labels={"role": "other", "rack": "7"})
    shown = await machines.open.good("GET", f"/api/v1/agents/{joined.body['agentId']}")
    assert shown["labels"] == {"role": "deployment", "rack": "7"}


async def test_token_can_replace_an_agent(machines: Machines):
    old = await machines.agent("agent-1")
    token = await machines.token(replaces=old.id)
    joined = await register(machines, token)
    assert joined.status == 201
    assert joined.body["agentId"] != old.id
    assert (await old.caller.call("POST", f"{old.path}/heartbeat", {})).code == "agent.revoked"
    assert [one["id"] for one in await machines.open.good("GET", "/api/v1/agents")] == [
        joined.body["agentId"]
    ]


async def test_expired_and_revoked_tokens_admit_nobody(machines: Machines):
    expired = await machines.token(ttlSeconds=300)
    machines.clock.advance(301)
    assert (await register(machines, expired)).code == "registration_token.expired"
    made = await machines.open.good("POST", "/api/v1/admin/agent-tokens", {})
    await machines.open.good("DELETE", f"/api/v1/admin/agent-tokens/{made['tokenId']}")
    assert (await register(machines, made["token"])).code == "registration_token.revoked"
    assert await machines.open.good("GET", "/api/v1/agents") == []


async def test_token_is_shown_once(machines: Machines):
    made = await machines.open.good("POST", "/api/v1/admin/agent-tokens", {"name": "a"})
    listed = await machines.open.good("GET", "/api/v1/admin/agent-tokens")
    assert [one["tokenId"] for one in listed] == [made["tokenId"]]
    assert made["token"] not in str(listed)
    ca = await machines.open.good("GET", "/api/v1/agents/ca")
    assert made["caSha256"] in ca["sha256"]


async def test_agent_that_was_removed_does_not_come_back_with_its_token(machines: Machines):
    token = await machines.token()
    _, csr = new_csr()
    joined = await register(machines, token, csr=csr)
    await machines.open.good("DELETE", f"/api/v1/agents/{joined.body['agentId']}")
    assert (await register(machines, token, csr=csr)).code == "registration_token.used"


async def test_guessing_is_slowed_down_and_locks_nobody_out(machines: Machines):
    token = await machines.token()
    for _ in range(60):
        assert (await register(machines, "reg_guess")).status == 401
    refused = await register(machines, "reg_guess")
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await register(machines, token)).status == 201
    machines.clock.advance(2)
    assert (await register(machines, "reg_guess")).status == 401
