"""health.check and inspect against containers of a real engine."""

import asyncio

import pytest

from containers.conftest import Deck
from stellwerk.agent.executors.executor import Cancelled, Failed
from support.container_lab import free_port

pytestmark = pytest.mark.containers


async def started(deck: Deck, **more: object) -> None:
    """Start a container that serves on a port of the loopback."""
    payload = {
        "image": deck.lab.image,
        "name": deck.name(),
        "command": ["/bin/sleep", "1000"],
        "healthcheck": {"settle": 0.2},
        "stopTimeout": 0,
        **more,
    }
    await deck.start("docker.run", payload)


async def test_container_command_and_address_are_probed(deck: Deck) -> None:
    port = free_port()
    await started(deck, command=["/bin/httpd", "-f", "-p", "8080", "-h", "/www"], ports=[f"{port}:8080"])
    for way in (
        {"container": deck.name()},
        {"exec": {"container": deck.name(), "command": "test -e /www/index.html"}},
        {"http": {"url": f"http://127.0.0.1:{port}/", "expect": 200, "contains": "hello"}},
        {"tcp": {"port": port}},
    ):
        assert (await deck.start("health.check", {**way, "interval": 0.2}))["healthy"] is True, way


async def test_unhealthy_is_told_with_the_last_words_of_the_probe(deck: Deck) -> None:
    await started(deck)
    payload = {
        "exec": {"container": deck.name(), "command": "echo not yet; exit 3"},
        "interval": 0,
        "retries": 2,
    }
    with pytest.raises(Failed) as end:
        await deck.start("health.check", payload)
    assert end.value.error_type == "health.unhealthy"
    assert end.value.result == {"healthy": False, "attempts": 2, "lastOutput": "exit code 3: not yet"}


async def test_failures_in_the_start_period_do_not_count(deck: Deck) -> None:
    await started(deck, command=["/bin/sh", "-c", "sleep 1.5; touch /tmp/up; exec sleep 1000"])
    payload = {
        "exec": {"container": deck.name(), "command": "test -e /tmp/up"},
        "interval": 0.1,
        "retries": 1,
    }
    assert (await deck.start("health.check", {**payload, "startPeriod": 30}))["attempts"] >= 1


async def test_a_wait_for_health_can_be_cancelled(deck: Deck) -> None:
    cancelled = asyncio.Event()
    job = deck.job("health.check", {"tcp": {"port": free_port()}, "interval": 60, "retries": 100})
    working = asyncio.ensure_future(deck.run(job, cancelled))
    await deck.report.said("probe 1")
    cancelled.set()
    with pytest.raises(Cancelled):
        await working


async def test_inspect_of_a_container_as_deployed_shows_no_drift(deck: Deck) -> None:
    await started(deck)
    result = await deck.start("inspect", {"name": deck.name()})
    assert (result["state"], result["drifted"], result["drift"]) == ("running", False, [])
    assert result["digest"] == deck.lab.image.partition("@")[2]


async def test_inspect_lists_every_drift_and_hides_the_values_of_variables(deck: Deck) -> None:
    await started(deck, env={"TOKEN": "is-secret"}, labels={"tier": "web"})
    await deck.start("docker.stop", {"name": deck.name(), "timeout": 0})
    wrong = "sha256:" + "1" * 64
    expected = {
        "digest": wrong,
        "command": ["/bin/other"],
        "env": {"TOKEN": "another", "ABSENT": "x"},
        "labels": {"tier": "db"},
        "ports": ["80"],
        "restartPolicy": "always",
    }
    result = await deck.start("inspect", {"name": deck.name(), "expected": expected})
    assert result["drifted"] is True
    assert {one["field"]: one["actual"] for one in result["drift"]} == {
        "running": False,
        "digest": deck.lab.image.partition("@")[2],
        "command": ["/bin/sleep", "1000"],
        "ports": [],
        "restartPolicy": "no",
        "labels.tier": "web",
        "env.TOKEN": "(hidden)",
        "env.ABSENT": None,
    }
    assert "is-secret" not in str(result)


async def test_inspect_of_nothing_fails(deck: Deck) -> None:
    with pytest.raises(Failed) as end:
        await deck.start("inspect", {"name": deck.name("nobody")})
    assert end.value.error_type == "docker.not_found"
