"""From a token to a running container: server, agent, registry and engine are all real, as is the command
line that an operator uses."""

import json
import socket
from typing import Any

import aiohttp
import pytest

from containers.conftest import AGENT, CREDENTIALS, run
from stellwerk.agent.executors.engine import Engine
from support.container_lab import Lab, free_port
from support.site import Said, Site

pytestmark = pytest.mark.containers

SERVE = ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"]
WRONG_DIGEST = "sha256:" + "0" * 64


def start(site: Site, lab: Lab, name: str, credentials: tuple[str, ...] = CREDENTIALS, **change: Any) -> Said:
    """Run a container that answers over HTTP."""
    payload = {
        "image": lab.image,
        "name": name,
        "command": SERVE,
        "healthcheck": {"settle": 0.5},
        "stopTimeout": 0,
        **change,
    }
    return run(site, "docker.run", credentials=credentials, **payload)


async def test_token_becomes_a_running_container(site: Site, lab: Lab, engine: Engine, name: str) -> None:
    port = free_port()
    health = {"http": {"url": f"http://127.0.0.1:{port}/", "contains": "hello"}, "interval": 0.2}
    done = start(site, lab, name, ports=[f"{port}:8080"], healthcheck=health)
    assert done.status == 0, done
    result = json.loads(done.out[done.out.index("{") :])
    assert result["health"]["healthy"] is True
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert await answer.text() == "hello\n"
    found = await engine.inspect(name)
    assert found is not None
    assert found["Id"] == result["containerId"]
    task_id = done.err.splitlines()[0]
    assert found["Config"]["Labels"]["stellwerk.task"] == task_id
    # The values of the credentials are nowhere.
    told = done.out + done.err + site.good("task", "show", task_id) + site.good("task", "logs", task_id)
    assert lab.password not in told
    assert lab.password not in site.agents[0].log_end(100_000)
    checked = run(site, "health.check", http={"url": f"http://127.0.0.1:{port}/"})
    assert checked.status == 0, checked
    stopped = run(site, "docker.stop", name=name, timeout=0)
    assert stopped.status == 0, stopped
    found = await engine.inspect(name)
    assert found is not None
    assert found["State"]["Running"] is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"digest": WRONG_DIGEST}, "image.not_found"),
        ({"credentials": ("--secret", "registry.username=registry.user",
                          "--secret", "registry.password=registry.wrong")}, "registry.unauthorized"),
        ({"ports": "taken"}, "docker.port_taken"),
        ({"healthcheck": {"exec": {"command": "exit 3"}, "interval": 0.1, "retries": 2}}, "health.unhealthy"),
    ],
    ids=["wrong digest", "wrong credentials", "port taken", "unhealthy"],
)  # fmt: skip
async def test_what_fails_says_why_and_leaves_the_previous_container_running(
    site: Site, lab: Lab, engine: Engine, name: str, change: dict[str, Any], reason: str
) -> None:
    assert start(site, lab, name).status == 0
    before = await engine.inspect(name)
    assert before is not None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if "digest" in change:
            change = {**change, "image": lab.image.partition("@")[0]}
        if "ports" in change:
            change = {**change, "ports": [f"{taken.getsockname()[1]}:8080"]}
        failed = start(site, lab, name, replace=True, **change)
    assert failed.status == 1
    assert json.loads(failed.out[failed.out.index("{\n") :])["type"] == reason
    after = await engine.inspect(name)
    assert after is not None
    assert (after["Id"], after["State"]["Running"]) == (before["Id"], True)


async def test_agent_is_discovered_by_the_coordinator_and_gets_its_tasks(
    site: Site, lab: Lab, engine: Engine, name: str
) -> None:
    url = site.server.url
    async with aiohttp.ClientSession() as session:

        async def post(path: str, body: Any) -> Any:
            async with session.post(url + path, json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        found = await post("/agents/discover", {"capabilities": ["docker"]})
        assert [one["agent_id"] for one in found["agents"]] == [AGENT]
        # Already pulled by the tests before, so this needs no credentials.
        parameters = {
            "image": lab.image,
            "name": name,
            "command": SERVE,
            "pull": "missing",
            "healthcheck": {"settle": 0.2},
            "stopTimeout": 0,
        }
        task = {
            "task_data": {"task_type": "docker.run", "parameters": parameters},
            "requirements": {"capabilities": ["docker"]},
            "repeatable": False,
        }
        task_id = (await post("/tasks/submit", task))["task_id"]
        async with session.get(f"{url}/tasks/{task_id}/result?wait_s=30") as answer:
            ended = await answer.json()
    container = await engine.inspect(name)
    assert container is not None, ended
    assert ended["result"]["containerId"] == container["Id"]
    shown = site.read(f"/api/v1/tasks/{task_id}")
    assert (shown["status"], shown["agent"], shown["taskType"]) == ("succeeded", AGENT, "docker.run")
