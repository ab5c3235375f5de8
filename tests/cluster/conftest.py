"""A real cluster, each test in a namespace of its own.

What every cluster does is tested over both in tests/contract/clusters. Here is what only a real one can show:
- test_reasons: kubelet, registry and kernel say it in their own words. The sandbox fails by annotation, in
  words that were taken from here (tests/unit/release/test_sandbox.py).
- test_rights: the sandbox lets everybody do everything.
- test_webhooks: the sandbox calls nobody.
"""

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
