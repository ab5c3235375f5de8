"""What the doctor says of a real cluster: to who may do all, and to who may read some."""

from dataclasses import replace
from pathlib import Path

import pytest

from stellwerk.app.doctor.cluster import examine_cluster
from stellwerk.app.doctor.finding import Finding, State
from stellwerk.clock import SystemClock
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.settings import Settings
from support.kube_access import token_of, with_token

pytestmark = pytest.mark.cluster


async def said_of(kubeconfig: str, namespace: str) -> dict[str, Finding]:
    settings = Settings()
    settings = replace(settings, conductor=replace(settings.conductor, kubeconfig=kubeconfig))
    # A kind that nobody defined, so that a definition which others put there does not count.
    settings = replace(settings, parameters=replace(settings.parameters, store="crd", group="nobody.example"))
    return {one.check: one async for one in examine_cluster(settings, [namespace], SystemClock(), {})}


async def test_administrator_is_told_that_all_is_well_but_the_definition(
    kubeconfig: Path, namespace: str
) -> None:
    said = await said_of(str(kubeconfig), namespace)
    assert said["cluster"].state is said["cluster.rights"].state is said["clock.cluster"].state is State.OK
    assert said["cluster.definition"].state is State.FAIL


async def test_missing_rights_are_named(
    kubeconfig: Path, cluster: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    token = await token_of(cluster, namespace)
    said = await said_of(with_token(kubeconfig, token, tmp_path / "config"), namespace)
    assert said["cluster.rights"].state is State.FAIL
    assert "create Deployment.apps" in said["cluster.rights"].detail
    assert token not in repr(said)
