"""compose.up and compose.down on a real engine."""

import asyncio
import contextlib

import pytest

from containers.conftest import Deck
from stellwerk.agent.executors.executor import Cancelled, Failed

pytestmark = pytest.mark.containers


def file(deck: Deck, *, web: str = "sleep 1000", check: str = "true", extra: str = "") -> str:
    """Two services on the host's network, the second waiting for the first."""
    return f"""
x-common: &common
  image: {deck.lab.image}
  network_mode: none
  stop_grace_period: 0s
services:
  web:
    <<: *common
    command: {web}
    depends_on: [store]
    healthcheck: {{test: "{check}", interval: 0.2s, retries: 3}}
  store:
    <<: *common
    command: ["/bin/sleep", "1000"]
    environment: {{COLOUR: "${{COLOUR:-green}}"}}
    volumes: ["data:/data"]
{extra}
volumes:
  data:
"""


def up(deck: Deck, text: str, **more: object) -> dict[str, object]:
    """Parameters of compose.up for this test's project."""
    return {"project": deck.mark, "composeYaml": text, **more}


async def ids(deck: Deck) -> dict[str, str]:
    """The containers of the test: id by name."""
    found = {name: await deck.engine.inspect(name) for name in await deck.states()}
    return {name: one["Id"] for name, one in found.items() if one}


@pytest.fixture(autouse=True)
async def _clean_volumes(deck: Deck):  # type: ignore[no-untyped-def]  # a fixture
    yield
    await deck.start("compose.down", {"project": deck.mark, "volumes": True})


async def test_a_project_comes_up_in_order_and_goes_down(deck: Deck) -> None:
    result = await deck.start("compose.up", up(deck, file(deck)))
    digest = deck.lab.image.partition("@")[2]
    assert [(one["name"], one["state"], one["health"], one["digest"]) for one in result["services"]] == [
        ("store", "created", "healthy", digest),
        ("web", "created", "healthy", digest),
    ]
    assert await deck.states() == {f"{deck.mark}-store-1": "running", f"{deck.mark}-web-1": "running"}
    down = await deck.start("compose.down", {"project": deck.mark, "volumes": True})
    assert down["removed"] == [f"{deck.mark}-web-1", f"{deck.mark}-store-1"]
    assert down["volumes"] == [f"{deck.mark}_data"]
    assert await deck.states() == {}


async def test_only_what_has_changed_is_replaced(deck: Deck) -> None:
    await deck.start("compose.up", up(deck, file(deck)))
    before = await ids(deck)
    result = await deck.start("compose.up", up(deck, file(deck), env={"COLOUR": "blue"}))
    assert {one["name"]: one["state"] for one in result["services"]} == {
        "store": "replaced",
        "web": "unchanged",
    }
    after = await ids(deck)
    assert after[f"{deck.mark}-web-1"] == before[f"{deck.mark}-web-1"]
    assert after[f"{deck.mark}-store-1"] != before[f"{deck.mark}-store-1"]
    assert set(after) == set(before)


async def test_one_service_that_fails_brings_all_of_them_back(deck: Deck) -> None:
    await deck.start("compose.up", up(deck, file(deck)))
    before = await ids(deck)
    with pytest.raises(Failed) as end:
        await deck.start("compose.up", up(deck, file(deck, check="false"), env={"COLOUR": "blue"}))
    assert (end.value.error_type, end.value.result["undone"]) == ("health.unhealthy", True)
    assert await ids(deck) == before
    assert set((await deck.states()).values()) == {"running"}


async def test_a_first_start_that_fails_leaves_no_container(deck: Deck) -> None:
    with pytest.raises(Failed) as end:
        await deck.start(
            "compose.up", up(deck, file(deck, web='["/bin/sh", "-c", "exit 9"]', check="sleep 5"))
        )
    assert end.value.error_type == "container.exited"
    assert await deck.states() == {}


async def test_a_wrong_digest_is_found_before_any_service_is_touched(deck: Deck) -> None:
    await deck.start("compose.up", up(deck, file(deck)))
    before = await ids(deck)
    wrong = deck.lab.image.partition("@")[0] + "@sha256:" + "0" * 64
    extra = f"  other: {{image: '{wrong}', network_mode: none}}"
    with pytest.raises(Failed) as end:
        await deck.start("compose.up", up(deck, file(deck, extra=extra), env={"COLOUR": "blue"}))
    assert end.value.error_type == "image.not_found"
    assert await ids(deck) == before


async def test_a_name_of_somebody_else_is_not_taken(deck: Deck) -> None:
    name = f"{deck.mark}-store-1"
    payload = {"image": deck.lab.image, "name": name, "command": ["/bin/sleep", "1000"], "network": "none"}
    await deck.start("docker.run", {**payload, "healthcheck": {"settle": 0.2}, "stopTimeout": 0})
    before = await ids(deck)
    with pytest.raises(Failed) as end:
        await deck.start("compose.up", up(deck, file(deck)))
    assert end.value.error_type == "docker.name_conflict"
    assert await ids(deck) == before


async def test_orphans_are_told_and_removed_only_if_asked(deck: Deck) -> None:
    extra = f"  old: {{image: '{deck.lab.image}', network_mode: none, stop_grace_period: 0s}}"
    await deck.start("compose.up", up(deck, file(deck, extra=extra)))
    result = await deck.start("compose.up", up(deck, file(deck)))
    assert result["orphans"] == [f"{deck.mark}-old-1"] and len(await deck.states()) == 3
    await deck.start("compose.up", up(deck, file(deck), removeOrphans=True))
    assert len(await deck.states()) == 2


async def test_services_of_a_network_reach_each_other_by_address_and_it_goes_with_the_project(
    deck: Deck,
) -> None:
    text = f"""
services:
  web:
    image: {deck.lab.image}
    command: httpd -f -p 8080 -h /www
    networks: {{back: {{aliases: [site]}}}}
    ports: ["8080"]
    healthcheck: {{test: [CMD, wget, -q, -O, "-", "http://127.0.0.1:8080/"], interval: 0.2s, retries: 20}}
    stop_grace_period: 0s
networks: {{back: {{internal: false}}}}
"""
    result = await deck.start("compose.up", up(deck, text))
    found = await deck.engine.inspect(result["services"][0]["containerId"])
    assert found and f"{deck.mark}_back" in found["NetworkSettings"]["Networks"]
    assert {"web", "site"} <= set(found["NetworkSettings"]["Networks"][f"{deck.mark}_back"]["Aliases"])
    down = await deck.start("compose.down", {"project": deck.mark})
    assert down["networks"] == [f"{deck.mark}_back"]


async def test_a_cancelled_project_is_as_it_was(deck: Deck) -> None:
    await deck.start("compose.up", up(deck, file(deck)))
    before = await ids(deck)
    cancelled = asyncio.Event()
    text = file(deck, check="false").replace("retries: 3", "retries: 1000")
    job = deck.job("compose.up", up(deck, text, env={"COLOUR": "blue"}))
    working = asyncio.ensure_future(deck.run(job, cancelled))
    await deck.report.said("probe 1")
    cancelled.set()
    with pytest.raises(Cancelled):
        await working
    assert await ids(deck) == before


async def test_a_killed_agent_brings_the_project_to_its_end(deck: Deck) -> None:
    await deck.start("compose.up", up(deck, file(deck)))
    text = file(deck, check="test -e /tmp/good").replace("retries: 3", "retries: 1000")
    job = deck.job("compose.up", up(deck, text, env={"COLOUR": "blue"}))
    working = asyncio.ensure_future(deck.run(job))
    await deck.report.said("probe 1")
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    begun = await ids(deck)
    await deck.engine.execute(f"{deck.mark}-web-1", ["/bin/touch", "/tmp/good"])
    assert await deck.adopt(job) is None  # doing it again carries it on
    result = await deck.run(job)
    assert {one["state"] for one in result["services"]} == {"replaced"}
    assert await ids(deck) == {name: begun[name] for name in (f"{deck.mark}-store-1", f"{deck.mark}-web-1")}
