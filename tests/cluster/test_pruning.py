"""What is no longer described is pruned by servers that did not apply it.

One was killed and started anew; the other has nothing but what it finds in the cluster.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.seeds import call
from bench.serving import Server

from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from support.application import write
from support.conductor_document import guestbook_files
from support.kube import MANAGER, config_map, service, version_of

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

KINDS = (Kind("ConfigMap"), Kind("Deployment", "apps"), Kind("Secret"), Kind("Service"))
START_LIMIT_S = 90.0
UP_LIMIT_S = 200.0
MARKS = {
    "app.kubernetes.io/managed-by": "stellwerk",
    "stellwerk.dev/application": "another",
    "stellwerk.dev/instance": "default",
    "stellwerk.dev/service": "frontend",
}
"""Of another application, whose service is called like one of ours."""


@pytest.fixture
def folder(tmp_path: Path, namespace: str) -> Path:
    """The guestbook's files, for the test's namespace."""
    found = guestbook_files()
    found["parameters.yaml"] = found["parameters.yaml"].replace(
        "namespace: default", f"namespace: {namespace}"
    )
    return write(tmp_path / "manifests", found)


class Servers:
    """The servers of a test, one after the other; each on its own database unless it is killed only."""

    def __init__(self, tmp_path: Path, settings: dict[str, object]) -> None:
        self._tmp_path = tmp_path
        self._settings = settings
        self.server = Server(tmp_path / "first", settings=settings)

    def start(self) -> None:
        self.server.start(START_LIMIT_S)

    def kill(self) -> None:
        self.server.kill()

    def forget(self) -> None:
        """Go on with a new database."""
        self.server = Server(self._tmp_path / "second", settings=self._settings)

    def up(self, *services: str) -> dict[str, str]:
        """Deploy, and tell what was done, by object."""
        path = f"/api/up?timeoutSeconds={UP_LIMIT_S:.0f}&deadlineSeconds={UP_LIMIT_S:.0f}"
        done = call(self.server, "POST", path, {"services": services}, within_s=UP_LIMIT_S)["operation"]
        assert done["state"] == "succeeded", done
        return {one["resource"]: one["action"] for one in done["objects"] if one["action"] != "unchanged"}


@pytest.fixture
def servers(tmp_path: Path, kubeconfig: Path, namespace: str, folder: Path) -> Iterator[Servers]:
    """A server of the guestbook, in a process of its own."""
    settings: dict[str, object] = {
        "conductor.manifests": folder,
        "conductor.application": f"guestbook-{namespace}",
        "conductor.cluster": "kubeconfig",
        "conductor.kubeconfig": kubeconfig,
    }
    servers = Servers(tmp_path, settings)
    yield servers
    servers.kill()


async def versions(cluster: KubernetesCluster, namespace: str) -> dict[str, str]:
    """List every object that somebody wrote, but for the inventory, with what each write of it changes."""
    return {
        f"{kind.kind}/{name}": version_of(body)
        for kind in KINDS
        for body in await cluster.list(kind, namespace=namespace)
        if not (name := body["metadata"]["name"]).startswith(("stellwerk-inventory-", "kube-root-ca"))
    }


@pytest.mark.timeout(400)
async def test_servers_that_start_anew_prune_exactly_what_is_no_longer_described(
    servers: Servers, cluster: KubernetesCluster, namespace: str, folder: Path
) -> None:
    marked = config_map(namespace, "marked", metadata={"labels": MARKS})
    for theirs in (config_map(namespace, "theirs"), service(namespace, "theirs"), marked):
        await cluster.apply(theirs, manager=MANAGER)
    servers.start()
    servers.up()
    all_of_it = await versions(cluster, namespace)
    assert {"Service/frontend", "Service/redis-slave", "ConfigMap/marked"} <= all_of_it.keys()

    servers.kill()
    (folder / "frontend" / "service.yaml").unlink()
    servers.start()
    assert servers.up("web-app") == {}  # only within what is named
    assert await versions(cluster, namespace) == all_of_it
    assert servers.up() == {f"{namespace}/Service/frontend": "delete"}
    del all_of_it["Service/frontend"]
    assert await versions(cluster, namespace) == all_of_it

    servers.kill()
    (folder / "redis-slave" / "service.yaml").unlink()
    servers.forget()
    servers.start()
    assert servers.up() == {f"{namespace}/Service/redis-slave": "delete"}
    del all_of_it["Service/redis-slave"]
    assert await versions(cluster, namespace) == all_of_it
