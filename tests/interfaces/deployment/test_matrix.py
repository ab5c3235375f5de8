"""Every operation × {no certificate, the agent on itself, another agent, revoked, expired, superseded,
foreign authority, wrong purpose, operators}, over real TLS."""

import asyncio
import ssl
from dataclasses import replace

import aiohttp
import pytest

from stellwerk.http.operation import Operation
from stellwerk.trust.scopes import Scope, granted_by
from support.machines import Agent, Answer, Caller, Machines, new_csr, running_machines

DAY_S = 86_400


def filled(operation: Operation, agent: Agent) -> str:
    """Put the agent's id and names of nothing into a path."""
    return operation.path.replace("{id}", agent.id).replace("{", "no-").replace("}", "")


async def ask(caller: Caller, operation: Operation, agent: Agent) -> Answer:
    """Call an operation with nothing in it: whoever may is told that something is missing, or answered."""
    body = b"{}" if operation.method in ("POST", "PUT") else None
    return await caller.call(operation.method, filled(operation, agent), body)


def agents_own(secure: Machines) -> list[Operation]:
    """List the operations that only an agent may call."""
    return [one for one in secure.interface.operations if one.check is not None and one.scope is None]


def operators(secure: Machines) -> list[Operation]:
    """List the operations that need a scope."""
    return [one for one in secure.interface.operations if one.scope is not None]


async def test_every_route_of_an_agent_is_known(secure: Machines):
    assert {(one.method, one.path) for one in agents_own(secure)} == {
        ("POST", "/api/v1/agents/token"),
        ("POST", "/api/v1/agents/{id}/heartbeat"),
        ("GET", "/api/v1/agents/{id}/tasks"),
        ("POST", "/api/v1/agents/{id}/tasks/{task_id}/claim"),
        ("POST", "/api/v1/agents/{id}/tasks/{task_id}/ack"),
        ("POST", "/api/v1/agents/{id}/tasks/{task_id}/complete"),
        ("POST", "/api/v1/agents/{id}/tasks/{task_id}/release"),
    }


async def test_agents_own_routes_need_a_certificate_even_on_an_open_listener(secure: Machines):
    agent = await secure.agent()
    for caller in (secure.open, secure.closed, await secure.operator(Scope.ADMIN)):
        for operation in agents_own(secure):
            answer = await ask(caller, operation, agent)
            assert (answer.status, answer.code) == (401, "agent.certificate.required"), operation.path


async def test_agent_may_call_its_own_routes_on_itself(secure: Machines):
    agent = await secure.agent()
    for caller in (agent.caller, secure.closed.with_certificate(agent.caller.certificate)):
        for operation in agents_own(secure):
            assert (await ask(caller, operation, agent)).status not in (401, 403), operation.path


async def test_agent_may_not_call_them_on_another_nor_change_it(secure: Machines):
    agent, other = await secure.agent("a"), await secure.agent("b")
    before = await secure.open.good("GET", agent.path)
    for operation in agents_own(secure):
        if "{id}" in operation.path:
            answer = await ask(other.caller, operation, agent)
            assert (answer.status, answer.code) == (403, "agent.not_yours"), operation.path
    assert await secure.open.good("GET", agent.path) == before


async def test_agent_has_no_operators_rights(secure: Machines):
    agent, other = await secure.agent("a"), await secure.agent("b")
    for caller in (agent.caller, secure.closed.with_certificate(agent.caller.certificate)):
        for operation in operators(secure):
            on = other if operation.check is not None else agent
            answer = await ask(caller, operation, on)
            assert answer.status == 403, (operation.method, operation.path, answer)
        assert (await caller.good("GET", agent.path))["id"] == agent.id


async def test_revoked_agent_is_told_never_to_come_back(secure: Machines):
    agent = await secure.agent()
    assert await secure.open.good("DELETE", agent.path) == {"deleted": True}
    for operation in [*agents_own(secure), *operators(secure)]:
        answer = await ask(agent.caller, operation, agent)
        assert (answer.status, answer.code) == (403, "agent.revoked"), operation.path


async def test_expired_agent_is_told_to_register_again(secure: Machines):
    agent = await secure.agent()
    secure.clock.advance(DAY_S + 1)
    for operation in [*agents_own(secure), *operators(secure)]:
        answer = await ask(agent.caller, operation, agent)
        assert (answer.status, answer.code) == (401, "agent.certificate.expired"), operation.path


async def test_superseded_agent_is_told_to_use_its_newer_certificate(secure: Machines):
    agent = await secure.agent()
    secure.clock.advance(DAY_S * 2 / 3)
    _, csr = new_csr()
    renewal = (await agent.beat(csr=csr))["certificateRenewal"]
    newer = replace(agent, caller=agent.caller.with_certificate(renewal["cert"]))
    await newer.beat()
    await agent.beat()  # In its grace.
    secure.clock.advance(301)
    for operation in [*agents_own(secure), *operators(secure)]:
        answer = await ask(agent.caller, operation, agent)
        assert (answer.status, answer.code) == (401, "agent.certificate.superseded"), operation.path
    await newer.beat()
    assert "certificate.clone_suspected" not in (await secure.open.good("GET", agent.path))["statusReasons"]
    fresh = agent.caller.with_certificate(agent.caller.certificate + "\n")  # A connection of its own.
    assert (await fresh.call("GET", f"{agent.path}/tasks")).code == "agent.certificate.superseded"
    assert "certificate.clone_suspected" in (await secure.open.good("GET", agent.path))["statusReasons"]


async def test_certificates_that_tls_does_not_take_are_answered_with_an_alert(secure: Machines, tmp_path):
    agent = await secure.agent()
    async with running_machines(tmp_path / "elsewhere") as elsewhere:
        stranger = await elsewhere.agent()
    server = secure.identities.server_certificate.read_text()
    secure.open.wallet.keep(server)
    wrong_purpose = server[server.index("-----BEGIN CERTIFICATE") :]
    for certificate, alert in (
        (stranger.caller.certificate, "UNKNOWN_CA"),
        (wrong_purpose, "UNKNOWN_CA|UNSUPPORTED_CERTIFICATE"),
    ):
        for path in (f"{agent.path}/tasks", "/api/v1/agents", "/api/v1/agents/register"):
            with pytest.raises((aiohttp.ClientError, ssl.SSLError), match=alert):
                await secure.open.with_certificate(certificate).call("GET", path)


@pytest.mark.parametrize("scope", [*Scope], ids=[scope.value for scope in Scope])
async def test_operator_may_do_what_the_scope_implies_and_nothing_else(secure: Machines, scope: Scope):
    agent = await secure.agent()
    operator, granted = await secure.operator(scope), granted_by([scope])
    for operation in operators(secure):
        if (operation.method, operation.path) == ("DELETE", "/api/v1/agents/{id}"):
            continue
        answer = await ask(operator, operation, agent)
        if operation.scope in granted:
            assert answer.status not in (401, 403), (operation.method, operation.path, answer)
        else:
            assert (answer.status, answer.code) == (403, "missing_scope"), (operation.method, operation.path)


async def test_closed_listener_without_anything_is_public_only(secure: Machines):
    agent = await secure.agent()
    for operation in secure.interface.operations:
        answer = await ask(secure.closed, operation, agent)
        public = operation.scope is None and operation.check is None
        assert public == (answer.status != 401 or operation.path.endswith("register")), operation.path
        assert answer.headers["content-type"].startswith("application/"), operation.path


async def test_streams_are_refused_over_http_with_their_reason(secure: Machines):
    agent, other = await secure.agent("a"), await secure.agent("b")
    for caller, status, code in (
        (secure.open, 401, "agent.certificate.required"),
        (secure.closed, 401, "agent.certificate.required"),
        (other.caller, 403, "agent.not_yours"),
    ):
        async with caller.stream(f"{agent.path}/task-stream") as stream:
            await stream.begun()
            assert (stream.refused, (await stream.hear())["error"]["code"]) == (status, code)


async def test_stream_of_a_removed_agent_is_closed_at_once(secure: Machines):
    agent = await secure.agent()
    async with agent.stream() as stream:
        await stream.begun()
        await secure.open.good("DELETE", agent.path)
        assert await asyncio.wait_for(stream.closed, 5) == 4403
    async with agent.stream() as stream:
        await stream.begun()
        assert stream.refused == 403


async def test_worker_of_the_coordinator_can_neither_take_the_name_nor_speak_for_it(secure: Machines):
    agent = await secure.agent()
    named = {"agent_id": agent.name, "agent_type": "worker", "capabilities": ["docker"]}
    for method, path, body in (
        ("POST", "/agents/register", named),
        ("POST", f"/agents/{agent.name}/heartbeat", {"claim": 1}),
        ("PUT", f"/agents/{agent.name}/status", {"status": "error"}),
        ("DELETE", f"/agents/{agent.name}", None),
        ("POST", "/tasks/claim", {"agent_id": agent.name}),
        ("POST", "/tasks/x/complete", {"agent_id": agent.name, "lease": 1}),
    ):
        answer = await secure.open.call(method, path, body)
        assert (answer.status, answer.body["code"]) == (409, "owned_by_another"), path


async def test_worker_of_the_coordinator_never_gets_a_task_with_credentials(secure: Machines):
    await secure.open.good("PUT", "/api/v1/admin/secrets/password", {"value": "hunter2"})
    worker = {"agent_id": "w", "agent_type": "worker", "capabilities": ["docker"]}
    await secure.open.good("POST", "/agents/register", worker)
    given = {
        "capability": "docker",
        "taskType": "docker.pull",
        "credentials": {"registry.password": "secret:password"},
    }
    task_id = (await secure.open.good("POST", "/api/v1/tasks", given))["taskId"]
    body = {
        "task_data": {"task_type": "docker.pull"},
        "requirements": {"capabilities": ["docker"], "credentials": {"p": "secret:password"}},
    }
    other = (await secure.open.good("POST", "/tasks/submit", body))["task_id"]
    claimed = await secure.open.good("POST", "/tasks/claim", {"agent_id": "w", "limit": 10})
    assert claimed["tasks"] == []
    agent = await secure.agent()
    tasks = {task["taskId"]: task["credentials"] for task in (await agent.beat())["tasks"]}
    assert tasks == {task_id: {"registry.password": "hunter2"}, other: {"p": "hunter2"}}
