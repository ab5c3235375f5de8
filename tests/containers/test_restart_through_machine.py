"""An agent in containers of a deployment agent: its versions are restarted by the machine that has them.

Everything is real: the server, the deployment agent, the engine, the command line, and in each container a
process that joins anew whenever it is started.
"""

import json
from typing import Any

import pytest

from containers.conftest import AGENT, CREDENTIALS, run
from stellwerk.agent.executors.engine import Engine
from support.container_lab import Lab, free_port
from support.site import Site

pytestmark = [pytest.mark.containers, pytest.mark.timeout(180)]

PROCESS = r"""
JSON='Content-Type: application/json'
instance=$(cat /proc/sys/kernel/random/uuid)
httpd -p "$PORT" -h /www
say() { wget -q -O /dev/null --header "$JSON" --post-data "$2" "$SERVER/api/v1/nodes/$1"; }
until say register "{\"id\":\"hello\",\"version\":\"$VERSION\",\"instance_id\":\"$instance\",
  \"base_url\":\"http://127.0.0.1:$PORT\",\"reasoners\":[{\"id\":\"greet\"}]}"; do sleep 1; done
trap 'exit 0' TERM
while true; do
  say hello/heartbeat "{\"status\":\"ready\",\"version\":\"$VERSION\",\"instance_id\":\"$instance\"}"
  sleep 1 & wait $!
done
"""
"""What the published SDK does at its start, in the words of a busybox."""


def join_in_container(site: Site, lab: Lab, name: str, version: str) -> None:
    """Have the deployment agent run a version of `hello`."""
    environment = {"SERVER": site.server.url, "VERSION": version, "PORT": str(free_port())}
    done = run(
        site,
        "docker.run",
        credentials=CREDENTIALS,
        image=lab.image,
        name=f"{name}-{version}",
        command=["/bin/sh", "-c", PROCESS],
        env=environment,
        network="host",
        stopTimeout=2,
        healthcheck={"settle": 0.2},
    )
    assert done.status == 0, done


def versions(site: Site) -> dict[str, dict[str, Any]]:
    shown = site.read("/api/v1/traffic/reasoners/hello/versions")["versions"]
    return {one["version"]: one for one in shown}


def active(site: Site) -> set[str]:
    try:
        return {version for version, one in versions(site).items() if one["health_status"] == "active"}
    except OSError:  # not joined yet
        return set()


async def started_at(engine: Engine, container: str) -> str:
    found = await engine.inspect(container)
    assert found is not None
    return str(found["State"]["StartedAt"])


async def test_each_version_is_restarted_in_its_own_container(
    site: Site, lab: Lab, engine: Engine, name: str
) -> None:
    for version in ("1.0.0", "2.0.0"):
        join_in_container(site, lab, name, version)
    site.until(lambda: active(site) == {"1.0.0", "2.0.0"}, "both versions")
    assert "no_supervisor" in site.command("restart", "hello", "2.0.0").err
    containers = {version: f"{name}-{version}" for version in ("1.0.0", "2.0.0")}
    site.change("/api/v1/traffic/reasoners/hello", supervisor={"agent": AGENT, "containers": containers})

    before = {version: await started_at(engine, one) for version, one in containers.items()}
    known = {version: one["instances"] for version, one in versions(site).items()}
    told = site.good("restart", "hello", "2.0.0", "--wait", "60s")
    assert "restarted 2.0.0" in told
    after = {version: await started_at(engine, one) for version, one in containers.items()}
    assert (after["1.0.0"], after["2.0.0"] > before["2.0.0"]) == (before["1.0.0"], True)
    now = {version: one["instances"] for version, one in versions(site).items()}
    assert now["1.0.0"] == known["1.0.0"]
    assert len(now["2.0.0"]) == 1
    assert now["2.0.0"] != known["2.0.0"]

    (restart,) = site.read("/api/v1/traffic/reasoners/hello/restarts")["restarts"]
    (step,) = restart["instances"]
    assert (restart["state"], step["instance_id"], step["replaced_by"]) == (
        "restarted",
        *known["2.0.0"],
        *now["2.0.0"],
    )
    task = json.loads(site.good("task", "show", step["task_id"]))
    assert (task["taskType"], task["status"], task["payload"]) == (
        "docker.restart",
        "succeeded",
        {"name": containers["2.0.0"]},
    )

    site.good("restart", "hello", "--wait", "60s")  # all of it, one after the other
    last = {version: await started_at(engine, one) for version, one in containers.items()}
    assert last["1.0.0"] > after["1.0.0"]
    assert last["2.0.0"] > after["2.0.0"]


async def test_a_container_that_is_not_there_fails_the_restart_with_the_machines_words(
    site: Site, lab: Lab, engine: Engine, name: str
) -> None:
    join_in_container(site, lab, name, "3.0.0")
    site.until(lambda: "3.0.0" in active(site), "the version")
    nowhere = {"agent": AGENT, "containers": {"3.0.0": f"{name}-nowhere"}}
    site.change("/api/v1/traffic/reasoners/hello", supervisor=nowhere)
    failed = site.command("restart", "hello", "3.0.0", "--force", "--wait", "60s")
    assert failed.status == 1
    assert "docker.not_found" in failed.out
    assert "3.0.0" in active(site)
