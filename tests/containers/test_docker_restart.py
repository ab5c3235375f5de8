"""docker.restart on a real engine: the same container, another process."""

import asyncio

import pytest

from containers.conftest import Deck
from containers.test_docker import running
from stellwerk.agent.executors.executor import Cancelled, Failed, Lost

pytestmark = pytest.mark.containers

ENDS_AT_ONCE = ["/bin/sh", "-c", "test -e /once && { echo gone; exit 3; }; touch /once; sleep 1000"]
IGNORES_TERM = ["/bin/sh", "-c", "trap '' TERM; while true; do sleep 1; done"]


async def started_at(deck: Deck, container: str) -> str:
    found = await deck.engine.inspect(container)
    assert found is not None
    return str(found["State"]["StartedAt"])


async def test_a_restart_ends_the_process_and_starts_the_same_container_again(deck: Deck) -> None:
    container = await running(deck)
    before = await started_at(deck, container)
    done = await deck.start("docker.restart", {"name": deck.name(), "timeout": 0})
    assert (done["containerId"], done["wasRunning"]) == (container, True)
    assert before != done["startedAt"] == await started_at(deck, container)
    assert await deck.states() == {deck.name(): "running"}


async def test_a_stopped_container_is_started(deck: Deck) -> None:
    await running(deck)
    await deck.start("docker.stop", {"name": deck.name(), "timeout": 0})
    done = await deck.start("docker.restart", {"name": deck.name()})
    assert done["wasRunning"] is False
    assert await deck.states() == {deck.name(): "running"}


async def test_no_container_and_wrong_parameters_fail(deck: Deck) -> None:
    for payload, error in (({"name": deck.name("nobody")}, "docker.not_found"), ({}, "parameters.invalid")):
        with pytest.raises(Failed) as end:
            await deck.start("docker.restart", payload)
        assert end.value.error_type == error


async def test_a_process_that_does_not_come_back_is_told_with_its_last_words(deck: Deck) -> None:
    await running(deck, command=ENDS_AT_ONCE)
    with pytest.raises(Failed) as end:
        for _ in range(20):  # the engine may look before the process has ended
            await deck.start("docker.restart", {"name": deck.name(), "timeout": 0})
    assert end.value.error_type == "docker.exited"
    assert "3" in end.value.message


async def test_a_cancelled_restart_leaves_the_container_running(deck: Deck) -> None:
    await running(deck, command=IGNORES_TERM)
    cancelled = asyncio.Event()
    restart = asyncio.create_task(
        deck.run(deck.job("docker.restart", {"name": deck.name(), "timeout": 3}), cancelled)
    )
    await deck.report.said("stopping")
    cancelled.set()
    with pytest.raises(Cancelled):
        await restart
    for _ in range(100):  # the engine carries the stop out that it had begun
        await asyncio.sleep(0.1)
        if await deck.states() == {deck.name(): "running"}:
            break
    assert await deck.states() == {deck.name(): "running"}


async def test_an_agent_that_ended_meanwhile_starts_what_is_stopped_and_guesses_nothing(deck: Deck) -> None:
    await running(deck)
    job = deck.job("docker.restart", {"name": deck.name(), "timeout": 0})
    with pytest.raises(Lost):
        await deck.adopt(job)
    await deck.start("docker.stop", {"name": deck.name(), "timeout": 0})
    adopted = await deck.adopt(job)
    assert adopted is not None
    assert await deck.states() == {deck.name(): "running"}
