"""docker.* on a real engine: what succeeds, and what every failure leaves behind."""

import asyncio
import contextlib
import socket

import aiohttp
import pytest

from containers.conftest import Deck
from stellwerk.agent.executors import available
from stellwerk.agent.executors.executor import Cancelled, Failed, TimedOut
from support.container_lab import free_port

pytestmark = pytest.mark.containers

SLEEP = ["/bin/sleep", "1000"]
SERVE = ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"]
WRONG_DIGEST = "sha256:" + "0" * 64
QUICK = {"settle": 0.5}


async def running(deck: Deck, label: str = "web", **more: object) -> str:
    """Start a container that works; answers its id."""
    payload = {
        "image": deck.lab.image,
        "name": deck.name(label),
        "command": SLEEP,
        "healthcheck": QUICK,
        "stopTimeout": 0,
        **more,
    }
    return str((await deck.start("docker.run", payload))["containerId"])


def wanted(deck: Deck, **more: object) -> dict[str, object]:
    """Parameters that replace the running container."""
    return {
        "image": deck.lab.image,
        "name": deck.name(),
        "command": SLEEP,
        "healthcheck": QUICK,
        "replace": True,
        "stopTimeout": 0,
        **more,
    }


async def assert_untouched(deck: Deck, previous: str) -> None:
    """The previous container runs under its name, and nothing else of the test is left."""
    assert await deck.states() == {deck.name(): "running"}
    found = await deck.engine.inspect(deck.name())
    assert found and found["Id"] == previous


async def test_pull_by_digest_from_the_password_protected_registry_tells_what_it_pulled(deck: Deck) -> None:
    result = await deck.start("docker.pull", {"image": deck.lab.image})
    assert result["repoDigest"] == deck.lab.image
    assert result["imageId"] and result["sizeBytes"] > 0
    assert deck.report.steps[-1] == (100, "pulled")


async def test_pull_takes_image_tag_and_digest_apart_as_the_document_shows(deck: Deck) -> None:
    name, _, digest = deck.lab.image.partition("@")
    result = await deck.start("docker.pull", {"image": name, "tag": "1", "digest": digest})
    assert result["repoDigest"] == deck.lab.image


async def test_pull_with_wrong_credentials_fails_though_the_image_is_cached(deck: Deck) -> None:
    await deck.start("docker.pull", {"image": deck.lab.image})
    wrong = {"registry.username": "lab", "registry.password": "not-the-password"}
    with pytest.raises(Failed) as end:
        await deck.start("docker.pull", {"image": deck.lab.image}, credentials=wrong)
    assert end.value.error_type == "registry.unauthorized"
    assert "not-the-password" not in end.value.message


async def test_pull_of_a_wrong_digest_says_that_the_registry_has_no_such_image(deck: Deck) -> None:
    name = deck.lab.image.partition("@")[0]
    with pytest.raises(Failed) as end:
        await deck.start("docker.pull", {"image": name, "digest": WRONG_DIGEST})
    assert end.value.error_type == "image.not_found"


async def test_pull_from_a_registry_that_is_not_there_may_be_tried_again(deck: Deck) -> None:
    with pytest.raises(Failed) as end:
        await deck.start(
            "docker.pull", {"image": f"127.0.0.1:{free_port()}/lab/x@{WRONG_DIGEST}"}, credentials={}
        )
    assert (end.value.error_type, end.value.retriable) == ("registry.unreachable", True)


async def test_run_publishes_on_loopback_and_labels_the_container(deck: Deck) -> None:
    port = free_port()
    job = deck.job(
        "docker.run",
        {
            "image": deck.lab.image,
            "name": deck.name(),
            "command": SERVE,
            "ports": [f"{port}:8080"],
            "healthcheck": {
                "http": {"url": f"http://127.0.0.1:{port}/", "contains": "hello"},
                "interval": 0.2,
            },
            "env": {"COLOUR": "green"},
            "limits": {"memoryBytes": 64 * 1024 * 1024},
            "stopTimeout": 0,
        },
    )
    result = await deck.run(job)
    assert result["ports"] == {"8080/tcp": [{"host": "127.0.0.1", "port": port}]}
    assert result["health"]["healthy"] is True and result["adopted"] is False and result["previous"] is None
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert await answer.text() == "hello\n"
    found = await deck.engine.inspect(deck.name())
    assert found
    assert found["Config"]["Labels"]["stellwerk.task"] == job.task_id
    assert found["Config"]["Labels"]["stellwerk.attempt"] == "1"
    assert "COLOUR=green" in found["Config"]["Env"]


async def test_run_replaces_the_previous_container_once_the_new_one_is_healthy(deck: Deck) -> None:
    previous = await running(deck)
    result = await deck.start("docker.run", wanted(deck))
    assert result["containerId"] != previous
    assert result["previous"]["id"] == previous
    assert result["previous"]["digest"] == deck.lab.image.partition("@")[2]
    assert await deck.states() == {deck.name(): "running"}


@pytest.mark.parametrize(
    ("change", "error_type"),
    [
        ({"digest": WRONG_DIGEST}, "image.not_found"),
        ({"healthcheck": {"exec": {"command": "exit 3"}, "interval": 0.1, "retries": 2}}, "health.unhealthy"),
        ({"command": ["/bin/sh", "-c", "echo broken; exit 7"]}, "container.exited"),
        ({"command": ["/bin/no-such-program"]}, "docker.start_failed"),
    ],
    ids=["wrong digest", "unhealthy", "exits", "no such program"],
)
async def test_a_failed_replacement_leaves_the_previous_container_running(
    deck: Deck, change: dict[str, object], error_type: str
) -> None:
    previous = await running(deck)
    payload = wanted(deck, **change)
    if "digest" in change:
        payload["image"] = deck.lab.image.partition("@")[0]
    with pytest.raises(Failed) as end:
        await deck.start("docker.run", payload)
    assert end.value.error_type == error_type, end.value.message
    await assert_untouched(deck, previous)


async def test_a_container_that_exits_is_told_with_its_last_words(deck: Deck) -> None:
    with pytest.raises(Failed) as end:
        await deck.start("docker.run", wanted(deck, command=["/bin/sh", "-c", "echo broken; exit 7"]))
    assert end.value.result["exitCode"] == 7
    assert "broken" in end.value.message
    assert await deck.states() == {}


async def test_wrong_credentials_fail_a_run_though_the_image_is_cached(deck: Deck) -> None:
    previous = await running(deck)
    wrong = {"registry.username": "lab", "registry.password": "wrong"}
    with pytest.raises(Failed) as end:
        await deck.start("docker.run", wanted(deck), credentials=wrong)
    assert end.value.error_type == "registry.unauthorized"
    await assert_untouched(deck, previous)


async def test_a_taken_port_fails_the_run_and_the_previous_container_comes_back(deck: Deck) -> None:
    previous = await running(deck)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Failed) as end:
            await deck.start("docker.run", wanted(deck, ports=[f"{taken.getsockname()[1]}:8080"]))
    assert end.value.error_type == "docker.port_taken", end.value.message
    assert end.value.result["undone"] is True
    await assert_untouched(deck, previous)


async def test_a_name_is_not_taken_from_a_container_unless_replace_is_said(deck: Deck) -> None:
    previous = await running(deck)
    with pytest.raises(Failed) as end:
        await deck.start("docker.run", wanted(deck, replace=False))
    assert end.value.error_type == "docker.name_conflict"
    await assert_untouched(deck, previous)


async def test_a_cancelled_replacement_brings_the_previous_container_back(deck: Deck) -> None:
    previous = await running(deck)
    cancelled = asyncio.Event()
    never = {"exec": {"command": "exit 1"}, "interval": 0.1, "retries": 10000}
    working = asyncio.ensure_future(
        deck.run(deck.job("docker.run", wanted(deck, healthcheck=never)), cancelled)
    )
    await logged(deck, "probe 1")
    cancelled.set()
    with pytest.raises(Cancelled):
        await working
    await assert_untouched(deck, previous)


async def test_a_replacement_that_runs_out_of_time_brings_the_previous_container_back(deck: Deck) -> None:
    previous = await running(deck)
    never = {"exec": {"command": "exit 1"}, "interval": 0.1, "retries": 10000}
    with pytest.raises(TimedOut):
        await deck.start("docker.run", wanted(deck, healthcheck=never), timeout_s=4.0)
    await assert_untouched(deck, previous)


async def test_a_killed_agent_goes_on_with_the_container_that_it_had_started(deck: Deck) -> None:
    previous = await running(deck)
    gate = {"exec": {"command": "test -e /tmp/good"}, "interval": 0.1, "retries": 10000}
    job = deck.job("docker.run", wanted(deck, healthcheck=gate))
    await killed_at(deck, deck.run(job), "probe 1")
    assert deck.name() in (states := await deck.states()) and len(states) == 2
    started = await deck.engine.inspect(deck.name())
    assert started
    await deck.engine.execute(deck.name(), ["/bin/touch", "/tmp/good"])
    result = await deck.adopt(job)
    assert result and result["adopted"] is True and result["previous"]["id"] == previous
    assert result["containerId"] == started["Id"]
    assert result["startedAt"] == started["State"]["StartedAt"]
    assert await deck.states() == {deck.name(): "running"}


async def test_a_killed_agent_rolls_back_what_turns_out_to_be_unhealthy(deck: Deck) -> None:
    previous = await running(deck)
    gate = {"exec": {"command": "exit 1"}, "interval": 0.1, "retries": 3}
    job = deck.job("docker.run", wanted(deck, healthcheck=gate))
    await killed_at(deck, deck.run(job), "stopping the previous")
    with pytest.raises(Failed):
        await deck.adopt(job)
    await assert_untouched(deck, previous)


async def test_the_same_task_run_again_starts_nothing_new(deck: Deck) -> None:
    job = deck.job("docker.run", wanted(deck))
    first, second = await deck.run(job), await deck.run(job)
    assert second["containerId"] == first["containerId"] and second["adopted"] is True


async def test_nothing_is_adopted_that_was_never_started(deck: Deck) -> None:
    assert await deck.adopt(deck.job("docker.run", wanted(deck))) is None


async def test_a_task_under_way_is_adopted_before_one_that_waited_for_the_same_name(deck: Deck) -> None:
    begun = deck.settings.data_dir / "begun"
    volumes = [f"{deck.settings.data_dir}:/evidence"]
    first, second = (
        deck.job(
            "docker.run",
            wanted(deck, command=f"echo {name} >> /evidence/begun; sleep 60", volumes=volumes),
        )
        for name in ("first", "second")
    )
    working = asyncio.ensure_future(deck.run(first))
    await deck.report.said("starting")
    while not begun.exists():  # noqa: ASYNC110 - a container has no other way to tell
        await asyncio.sleep(0.02)
    working.cancel()
    await asyncio.wait({working})
    again = available(deck.settings)["docker.run"]
    adopting = again.adopt(first, deck.report, asyncio.Event())
    adopted, fresh = await asyncio.gather(adopting, again.run(second, deck.report, asyncio.Event()))
    assert adopted is not None and fresh["previous"]["id"] == adopted["containerId"]
    assert begun.read_text() == "first\nsecond\n"
    assert await deck.states() == {deck.name(): "running"}


async def test_two_tasks_for_one_name_take_turns(deck: Deck) -> None:
    results = await asyncio.gather(
        deck.start("docker.run", wanted(deck)), deck.start("docker.run", wanted(deck))
    )
    assert sorted(one["previous"] is None for one in results) == [False, True]
    assert await deck.states() == {deck.name(): "running"}


async def test_task_that_names_a_container_by_id_takes_its_turn_too(deck: Deck) -> None:
    previous = await running(deck)
    replacing = asyncio.create_task(deck.start("docker.run", wanted(deck)))
    await asyncio.sleep(0)  # It is its turn now.
    with pytest.raises(Failed) as end:
        await deck.start("docker.stop", {"id": previous, "timeout": 0})
    assert end.value.error_type == "docker.not_found"
    assert replacing.done()
    assert await deck.states() == {deck.name(): "running"}


async def test_stop_tells_the_exit_code_and_stopping_again_is_well(deck: Deck) -> None:
    await running(deck, command=["/bin/sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"])
    first = await deck.start("docker.stop", {"name": deck.name(), "timeout": 5})
    again = await deck.start("docker.stop", {"name": deck.name()})
    assert (first["exitCode"], first["alreadyStopped"]) == (5, False)
    assert (again["exitCode"], again["alreadyStopped"]) == (5, True)


async def test_stop_of_no_container_fails(deck: Deck) -> None:
    with pytest.raises(Failed) as end:
        await deck.start("docker.stop", {"name": deck.name("nobody")})
    assert end.value.error_type == "docker.not_found"


async def test_remove_wants_a_stopped_container_or_force(deck: Deck) -> None:
    container = await running(deck)
    with pytest.raises(Failed) as end:
        await deck.start("docker.remove", {"name": deck.name()})
    assert end.value.error_type == "docker.running"
    assert await deck.start("docker.remove", {"id": container, "force": True}) == {
        "removed": True,
        "containerId": container,
    }
    assert await deck.start("docker.remove", {"name": deck.name()}) == {"removed": False, "containerId": None}


async def logged(deck: Deck, text: str) -> None:
    """Wait until a line says so."""
    async with asyncio.timeout(30):
        await deck.report.said(text)


async def killed_at(deck: Deck, work: object, text: str) -> None:
    """Run until a line says so, then end as a process does: without clean-up."""
    working = asyncio.ensure_future(work)  # type: ignore[arg-type]  # a coroutine
    await logged(deck, text)
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
