"""A cluster that is away for a while: what is deployed is unknown then, and what was missed is seen after."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Key
from support.relay import Relay
from support.shop import CONFIG, Shop, open_shop
from support.watching import until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def relay(kubeconfig: Path) -> Iterator[Relay]:
    """The network between the server and the cluster."""
    address = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    relay = Relay(lambda: urlsplit(address).port or 443)
    yield relay
    relay.close()


def over(relay: Relay, kubeconfig: Path, path: Path) -> Path:
    """Write a kubeconfig that goes over a relay."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
async def shop(tmp_path: Path, kubeconfig: Path, namespace: str, relay: Relay) -> AsyncIterator[Shop]:
    """A service of one object, deployed over that network."""
    path = over(relay, kubeconfig, tmp_path / "config")
    files = {"stellwerk.yaml": "name: shop\n", "frontend/config.yaml": CONFIG}
    chosen = {"files": files, "namespace": namespace, "cluster": None, "kubeconfig": str(path)}
    async with open_shop(tmp_path, patience_s=60.0, **chosen) as opened:
        yield opened


async def health(shop: Shop) -> str:
    (one,) = (await shop.api.get("/api/services/health"))["services"]
    return str(one["health"])


async def test_what_was_missed_while_the_cluster_was_away_is_seen_after(
    shop: Shop, relay: Relay, cluster: KubernetesCluster, namespace: str
) -> None:
    assert (await shop.up()).status == 200
    assert await health(shop) == "healthy"
    relay.take_down()

    async def unknown() -> bool:
        return await health(shop) == "unknown"

    await until(unknown, lambda: "nobody noticed", within_s=40.0)
    ready = await shop.api.get("/readyz")
    assert ready["status"] == "healthy"
    assert ready["components"]["watching"]["status"] == "unavailable"
    assert await shop.api.get("/api/events/errors") == []
    await cluster.delete(Key(namespace, "ConfigMap", "frontend-config"))
    relay.mend()

    async def seen() -> bool:
        return bool((await shop.api.get("/api/drift"))["drift"])

    await until(seen, lambda: "what was missed was not seen", within_s=40.0)

    async def missing() -> bool:
        return await health(shop) == "missing"

    # Each kind is watched again in its own time; until the last one is, nobody can tell.
    await until(missing, lambda: "its health was not told", within_s=40.0)
    assert (await shop.api.get("/readyz"))["components"]["watching"]["status"] == "available"
