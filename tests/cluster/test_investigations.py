"""Faults that are really there are found: a slice of the suite of `bench/scenarios`."""

import pytest
from bench.scenarios.running import run
from bench.scenarios.scenario import FOLDER, load
from bench.scenarios.variants import variant

from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SLICE = ("cascade-missing-config", "healthy-beside-trouble", "selector-mismatch", "variable-missing")


@pytest.mark.parametrize("name", SLICE)
async def test_a_fault_on_the_cluster_is_traced_to_what_has_to_change(
    cluster: KubernetesCluster, name: str
) -> None:
    found = await run(cluster, variant(load(FOLDER / name), seed=0))

    assert not found.failed, found.failed
    assert (found.answer, found.right) == (found.answer, True), found.expected
    assert found.calls <= 60
