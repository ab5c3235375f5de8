"""What a cluster's own policies refuse is told with their words."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Key, key_of
from support.kube import MANAGER, config_map
from support.kube_policies import serving_policies, webhook

pytestmark = pytest.mark.cluster


@pytest.fixture
async def policies(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The address of a server with a policy that denies and one that fails, and its certificate."""
    async with serving_policies(tmp_path) as served:
        yield served


@pytest.mark.parametrize(
    ("path", "said"), [("/deny", "denied the request: say who owns it"), ("/fail", "failed calling webhook")]
)
async def test_a_webhook_refuses_with_its_own_words(
    cluster: KubernetesCluster, namespace: str, policies: tuple[str, str], path: str, said: str
) -> None:
    address, bundle = policies
    hook = webhook(namespace, address + path, bundle)
    await cluster.patch(
        Key("", "Namespace", namespace), {"metadata": {"labels": {"tested-by": namespace}}}, manager=MANAGER
    )
    await cluster.apply(hook, manager=MANAGER)
    try:
        refusal = await until_refused(cluster, namespace)
    finally:
        await cluster.delete(key_of(hook))

    assert refusal.reason == "webhook"
    assert said in refusal.message


async def until_refused(cluster: KubernetesCluster, namespace: str) -> Refused:
    """Make objects until the cluster counts in its new policy, which takes a second or so."""
    for number in range(1000):
        try:
            await cluster.apply(config_map(namespace, f"c{number}"), manager=MANAGER)
        except Refused as refusal:
            return refusal
    raise AssertionError("nothing was refused")
