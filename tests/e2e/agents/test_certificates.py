"""The life of an agent's certificate with real agents over mutual TLS and a driven clock."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from e2e.agents.driven import DAY_S, DUE_S, Agent, Driven, Gate, driven

AUTHORITIES = ("agents", "servers")
GRACE_S = 300
RENEWED_S = DAY_S * 5 / 6
"""Between two thirds of a certificate's life and its end."""
ROTATION_DAYS = 4
"""Of five sixths each: until the old roots are retired and the agents have heard of it."""


@pytest.fixture
async def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Driven]:
    async with driven(tmp_path, monkeypatch) as running:
        yield running


async def test_a_certificate_is_renewed_when_it_is_time_and_the_old_one_serves_five_minutes_more(
    plane: Driven,
) -> None:
    agent = await plane.join("agent-1")
    plane.clock.advance(DUE_S - 120)
    async with plane.as_agent(agent) as old:
        await plane.works(agent)
        assert await plane.states(agent) == ["active"]
        plane.clock.advance(120)
        await plane.comes_to(agent, ["active", "superseded"])
        await plane.until(lambda: not (agent.identity / "next.pem").exists(), "it uses the new one")
        assert await old.look() == (200, None)
        plane.clock.advance(GRACE_S)
        assert await old.look() == (401, "agent.certificate.superseded")
    await plane.works(agent)
    assert f"{agent.certificate.serial_number:x}" == next(iter(await plane.certificates(agent)))


async def test_an_agent_killed_between_receiving_and_storing_a_new_certificate_recovers(
    plane: Driven,
) -> None:
    agent = await plane.join("agent-1")
    async with plane.as_agent(agent) as old:
        gate = Gate(agent)
        plane.clock.advance(DUE_S)
        await gate.reached()
        # It has the answer and cannot write it down: that is the moment.
        agent.kill()
        gate.remove()
        before = await plane.certificates(agent)
        assert list(before.values()) == ["issued", "active"]
        assert await old.look() == (200, None), "an unused certificate replaces nothing"
        agent.start()
        await plane.works(agent)
        await plane.comes_to(agent, ["active", "superseded"])
    assert list(await plane.certificates(agent)) == list(before), "the same answer was given again"


async def test_an_agent_killed_between_receiving_and_storing_its_first_certificate_recovers(
    plane: Driven,
) -> None:
    agent = await plane.prepare("agent-1")
    gate = Gate(agent)
    agent.start()
    await gate.reached()
    agent.kill()
    gate.remove()
    known = await plane.id_of(agent)
    assert await plane.states(agent) == ["issued"]
    agent.start()
    await plane.works(agent)
    assert await plane.id_of(agent) == known
    assert await plane.states(agent) == ["active"]


async def test_an_end_holds_on_open_connections_and_a_new_token_leads_back(plane: Driven) -> None:
    agent = await plane.join("agent-1")
    known = await plane.id_of(agent)
    async with plane.as_agent(agent) as open_connection:
        assert await open_connection.look() == (200, None)
        agent.kill()  # It would renew: it is the machine that slept.
        plane.clock.advance(DAY_S)
        assert await open_connection.look() == (401, "agent.certificate.expired")
    made = await plane.main.post("/api/v1/admin/agent-tokens", {"name": agent.name, "replaces": known})
    agent.home.with_suffix(".token").write_text(made["token"])
    agent.start()
    await plane.works(agent)
    assert await plane.states(agent) == ["active"]


async def test_rotations_with_agents_connected_lose_none(plane: Driven) -> None:
    agents = [await plane.join(f"agent-{number}") for number in (1, 2)]
    old = {authority: await roots(plane, authority) for authority in AUTHORITIES}
    async with flowing(plane, agents) as done:
        for authority in AUTHORITIES:
            await plane.main.post("/api/v1/admin/ca/rotate", {"authority": authority})
            assert len(await roots(plane, authority)) == 2
        for _ in range(ROTATION_DAYS):
            # Each time all renew; the agents' root signs from the first, the server's from the second.
            plane.clock.advance(RENEWED_S)
            await asyncio.gather(*(plane.beats(agent) for agent in agents))
            await more_done(plane, done)
        new = {authority: await roots(plane, authority) for authority in AUTHORITIES}
    for authority in AUTHORITIES:
        assert len(new[authority]) == 1 and new[authority] != old[authority], "the old root is retired"
    for agent in agents:
        agent.certificate.verify_directly_issued_by(new["agents"][0])
        assert x509.load_pem_x509_certificates((agent.identity / "ca.pem").read_bytes()) == new["servers"]
        # What it has on disk is enough for a new connection.
        agent.kill()
        agent.start()
        await plane.works(agent)


async def roots(plane: Driven, authority: str) -> list[x509.Certificate]:
    """Return the roots that are trusted, newest first."""
    shown = await plane.main.get("/api/v1/admin/ca")
    return x509.load_pem_x509_certificates(shown[authority].encode())


async def more_done(plane: Driven, done: Counter[str]) -> None:
    """Wait until every agent has done a task more."""
    before = Counter(done)
    await plane.until(lambda: all(done[name] > before[name] for name in done), "tasks flow on")


@asynccontextmanager
async def flowing(plane: Driven, agents: list[Agent]) -> AsyncIterator[Counter[str]]:
    """Give every agent one task after the other; count those done. One that does not succeed fails."""
    done: Counter[str] = Counter({agent.name: 0 for agent in agents})

    async def flow(agent: Agent) -> None:
        while True:
            await plane.works(agent)
            done[agent.name] += 1

    flows = [asyncio.ensure_future(flow(agent)) for agent in agents]
    try:
        yield done
    finally:
        for one in flows:
            one.cancel()
        ended = await asyncio.gather(*flows, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
