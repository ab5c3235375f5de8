"""Agents behind a proxy that ends TLS: who is believed, and what the bound token is for."""

import base64
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stellwerk.settings import AccessSettings
from support.machines import Agent, Caller, Machines, der, new_csr
from support.secure import secured

HEADER = "Client-Cert"
ONE_PROXY = AccessSettings(trusted_proxies=("127.0.0.1/32",), certificate_header=HEADER)
OTHERS = AccessSettings(trusted_proxies=("192.0.2.0/24",), certificate_header=HEADER)
HOUR_S = 3_600


@pytest.fixture
async def proxied(machines: Machines, tmp_path: Path) -> AsyncIterator[Machines]:
    """Listeners whose callers are a proxy that is trusted."""
    async with secured(machines, tmp_path, ONE_PROXY) as running:
        yield running


@pytest.fixture
async def spoofed(machines: Machines, tmp_path: Path) -> AsyncIterator[Machines]:
    """Listeners that trust a proxy elsewhere."""
    async with secured(machines, tmp_path, OTHERS) as running:
        yield running


def forwarded(pem: str) -> str:
    """Write a certificate as RFC 9440 says."""
    return f":{base64.b64encode(der(pem)).decode()}:"


def through_proxy(machines: Machines, agent: Agent, token: str | None = None) -> Caller:
    """Return the caller that an agent is behind the proxy: without TLS of its own."""
    cert, bearer = agent.joined["certificate"]["cert"], token or agent.joined["token"]
    return machines.closed.with_headers(Client_Cert=forwarded(cert), authorization=f"Bearer {bearer}")


@pytest.mark.parametrize(
    "write",
    [forwarded, urllib.parse.quote, lambda pem: base64.b64encode(der(pem)).decode()],
    ids=["RFC 9440", "nginx", "plain base64"],
)
async def test_certificate_and_its_token_serve(proxied: Machines, write):
    agent = await proxied.agent()
    caller = through_proxy(proxied, agent).with_headers(
        Client_Cert=write(agent.joined["certificate"]["cert"])
    )
    assert (await caller.good("POST", f"{agent.path}/heartbeat", {"status": "healthy"}))["tasks"] == []
    async with caller.stream(f"{agent.path}/task-stream") as stream:
        await stream.begun()
        assert stream.accepted is not None
        await proxied.open.with_certificate(agent.joined["certificate"]["cert"]).good(
            "GET", f"{agent.path}/tasks"
        )


async def test_certificate_alone_does_not(proxied: Machines):
    agent, other = await proxied.agent("a"), await proxied.agent("b")
    bare = proxied.closed.with_headers(Client_Cert=forwarded(agent.joined["certificate"]["cert"]))
    for caller in (
        bare,
        bare.with_headers(authorization="Bearer nonsense"),
        through_proxy(proxied, agent, other.joined["token"]),
    ):
        answer = await caller.call("GET", f"{agent.path}/tasks")
        assert (answer.status, answer.code) == (401, "agent.token.invalid")


async def test_token_alone_does_not(proxied: Machines):
    agent = await proxied.agent()
    caller = proxied.closed.with_headers(authorization=f"Bearer {agent.joined['token']}")
    answer = await caller.call("GET", f"{agent.path}/tasks")
    assert (answer.status, answer.code) == (401, "agent.certificate.required")


@pytest.mark.parametrize("value", ["nonsense", ":====:", "%2D%2D", "-----BEGIN CERTIFICATE-----x"])
async def test_what_is_no_certificate_is_refused(proxied: Machines, value: str):
    agent = await proxied.agent()
    caller = through_proxy(proxied, agent).with_headers(Client_Cert=value)
    answer = await caller.call("GET", f"{agent.path}/tasks")
    assert (answer.status, answer.code) == (401, "agent.certificate.invalid")


async def test_header_of_anybody_else_is_dropped(spoofed: Machines):
    agent, other = await spoofed.agent("a"), await spoofed.agent("b")
    answer = await through_proxy(spoofed, agent).call("GET", f"{agent.path}/tasks")
    assert (answer.status, answer.code) == (401, "agent.certificate.required")
    # Nor does it take the place of what the connection itself has shown.
    shown = other.caller.with_headers(Client_Cert=forwarded(agent.joined["certificate"]["cert"]))
    assert (await shown.call("GET", f"{other.path}/tasks")).status == 200
    assert (await shown.call("GET", f"{agent.path}/tasks")).code == "agent.not_yours"


async def test_token_is_renewed_by_one_that_has_ended_as_long_as_its_certificate_lives(proxied: Machines):
    agent = await proxied.agent()
    caller = through_proxy(proxied, agent)
    proxied.clock.advance(2 * HOUR_S)
    answer = await caller.call("GET", f"{agent.path}/tasks")
    assert (answer.status, answer.code) == (401, "agent.token.expired")
    token = (await caller.good("POST", "/api/v1/agents/token", {}))["token"]
    assert (await through_proxy(proxied, agent, token).call("GET", f"{agent.path}/tasks")).status == 200
    proxied.clock.advance(23 * HOUR_S)
    answer = await caller.call("POST", "/api/v1/agents/token", {})
    assert (answer.status, answer.code) == (401, "agent.certificate.expired")


async def test_token_of_the_older_certificate_serves_with_the_newer(proxied: Machines):
    agent = await proxied.agent()
    caller = through_proxy(proxied, agent)
    proxied.clock.advance(17 * HOUR_S)
    token = (await caller.good("POST", "/api/v1/agents/token", {}))["token"]
    _, csr = new_csr()
    beat = {"status": "healthy", "csr": csr}
    caller = through_proxy(proxied, agent, token)
    renewal = (await caller.good("POST", f"{agent.path}/heartbeat", beat))["certificateRenewal"]
    newer = caller.with_headers(Client_Cert=forwarded(renewal["cert"]))
    fresh = (await newer.good("POST", "/api/v1/agents/token", {}))["token"]
    proxied.clock.advance(301)
    assert (await newer.call("GET", f"{agent.path}/tasks")).code == "agent.token.invalid"
    newer = newer.with_headers(authorization=f"Bearer {fresh}")
    assert (await newer.call("GET", f"{agent.path}/tasks")).status == 200


async def test_revoked_agent_is_refused_behind_the_proxy_too(proxied: Machines):
    agent = await proxied.agent()
    await proxied.open.good("DELETE", agent.path)
    for path in (f"{agent.path}/tasks", agent.path):
        answer = await through_proxy(proxied, agent).call("GET", path)
        assert (answer.status, answer.code) == (403, "agent.revoked")
