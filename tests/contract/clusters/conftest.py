"""Every implementation of the cluster interface, each test in a namespace of its own."""

from collections.abc import AsyncIterator

import pytest

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.clusters.sandbox.sandbox import Sandbox
from support.kube import a_namespace

IMPLEMENTATIONS = [pytest.param("sandbox"), pytest.param("kubernetes", marks=pytest.mark.cluster)]


@pytest.fixture(params=IMPLEMENTATIONS)
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """A cluster that works."""
    opened: Cluster
    if request.param == "sandbox":
        opened = Sandbox()
    else:
        opened = KubernetesCluster(from_kubeconfig(str(request.getfixturevalue("kubeconfig"))))
    yield opened
    await opened.close()


@pytest.fixture
async def namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace of the test's own."""
    async for name in a_namespace(cluster):
        yield name
