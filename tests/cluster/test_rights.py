"""Who may not do something is told so, and nothing is done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Key, key_of
from support.kube import MANAGER, config_map, next_change
from support.kube_access import token_of, with_token

pytestmark = pytest.mark.cluster


@pytest.fixture
async def reader(
    kubeconfig: Path, cluster: KubernetesCluster, namespace: str, tmp_path: Path
) -> AsyncIterator[KubernetesCluster]:
    """The cluster as somebody sees it who may read ConfigMaps of one namespace."""
    token = await token_of(cluster, namespace)
    opened = KubernetesCluster(from_kubeconfig(with_token(kubeconfig, token, tmp_path / "config")))
    async with asyncio.timeout(10):
        while not await opened.allowed("get", Kind("ConfigMap"), namespace):  # noqa: ASYNC110  a role counts soon
            await asyncio.sleep(0.1)
    yield opened
    await opened.close()


async def test_what_is_not_granted_is_forbidden_and_not_done(
    cluster: KubernetesCluster, reader: KubernetesCluster, namespace: str
) -> None:
    with pytest.raises(Refused) as raised:
        await reader.apply(config_map(namespace), manager=MANAGER)

    assert (raised.value.reason, raised.value.status) == ("forbidden", 403)
    assert "cannot patch resource" in raised.value.message
    assert await cluster.get(key_of(config_map(namespace))) is None


async def test_what_is_granted_is_allowed(reader: KubernetesCluster, namespace: str) -> None:
    assert await reader.allowed("list", Kind("ConfigMap"), namespace)
    assert not await reader.allowed("list", Kind("ConfigMap"))
    assert not await reader.allowed("list", Kind("Secret"), namespace)
    await reader.list(Kind("ConfigMap"), namespace=namespace)


async def test_secrets_that_are_not_ours_cannot_be_read_or_watched(
    reader: KubernetesCluster, namespace: str
) -> None:
    with pytest.raises(Refused):
        await reader.get(Key(namespace, "Secret", "token"))
    async with aclosing(reader.watch(Kind("Secret"), namespace=namespace)) as told:
        with pytest.raises(Refused):
            await next_change(told)
