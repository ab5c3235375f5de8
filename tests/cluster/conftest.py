"""A real cluster, each test in a namespace of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from support.kube import a_namespace


@pytest.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[KubernetesCluster]:
    """The real cluster; without one the test is skipped."""
    opened = KubernetesCluster(from_kubeconfig(str(kubeconfig)))
    yield opened
    await opened.close()


@pytest.fixture
async def namespace(cluster: KubernetesCluster) -> AsyncIterator[str]:
    """A namespace of the test's own."""
    async for name in a_namespace(cluster):
        yield name
