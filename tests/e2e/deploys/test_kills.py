"""Operations survive `kill -9` of the server: each ends, and nothing foreign is touched."""

import asyncio
import time
from pathlib import Path

import pytest

from e2e.deploys import collect
from e2e.deploys.campaign import Campaign, Report
from e2e.deploys.checker import check
from e2e.deploys.evidence import Evidence, Thing
from e2e.deploys.soak_report import Soak
from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Body, Key
from support.kube import config_map, random_name, service

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

OPERATIONS = 40
INSTANCES = 4
CAMPAIGNS = 6


def prove(
    folder: Path, seed: int, kubeconfig: Path, *, operations: int, kills: int
) -> tuple[Report, Evidence]:
    """Run one campaign and assert that every rule holds."""
    namespaces = [random_name("kills") for _ in range(INSTANCES)]
    before = asyncio.run(furnish(kubeconfig, namespaces))
    campaign = Campaign(folder, seed, kubeconfig, namespaces)
    try:
        report = campaign.run(operations, kills)
        evidence = gather(campaign, kubeconfig, before)
    finally:
        campaign.close()
        asyncio.run(clear(kubeconfig, namespaces))
    trouble = [*report.refused, *report.unfinished, *check(evidence)]
    assert not trouble, f"seed {seed}, {len(trouble)} faults:\n" + "\n".join(trouble[:20])
    assert len(evidence.acknowledged) >= operations
    assert report.cut_off, "no kill hit an operation"
    return report, evidence


def gather(campaign: Campaign, kubeconfig: Path, before: list[Thing]) -> Evidence:
    """Read the living server, stop it gracefully, then read its tables and the cluster."""
    rows = campaign.all_operations()
    assert campaign.server.stop() == 0, campaign.server.running.log_end()
    data_dir, application = campaign.server.data_dir, campaign.application
    copies = {
        instance: collect.copy_of_inventory(data_dir, application, instance)
        for instance in campaign.instances
    }
    found = asyncio.run(look(campaign, kubeconfig))
    return Evidence(
        orders=campaign.orders,
        acknowledged=campaign.acknowledged,
        operations=rows,
        told=collect.told(data_dir),
        copies=copies,
        foreign_before=before,
        **found,
    )


async def look(campaign: Campaign, kubeconfig: Path) -> dict[str, object]:
    """Read what is in the cluster."""
    cluster = KubernetesCluster(from_kubeconfig(str(kubeconfig)))
    application, instances = campaign.application, campaign.instances
    try:
        marked = await collect.ours(cluster, application)
        return {
            "ours": {
                instance: [one for whose, one in marked if whose == instance and one.namespace == namespace]
                for instance, namespace in instances.items()
            },
            "ours_elsewhere": [one for whose, one in marked if instances.get(whose) != one.namespace],
            "inventories": {
                instance: await collect.inventory_in(cluster, namespace, application, instance)
                for instance, namespace in instances.items()
            },
            "foreign_after": await collect.foreign(cluster, list(instances.values()), application),
        }
    finally:
        await cluster.close()


async def furnish(kubeconfig: Path, namespaces: list[str]) -> list[Thing]:
    """Make the namespaces, with objects that are not ours."""
    cluster = KubernetesCluster(from_kubeconfig(str(kubeconfig)))
    try:
        for name in namespaces:
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await cluster.apply(space, manager="somebody")
            for body in strangers(name):
                await cluster.apply(body, manager="somebody")
        return await collect.foreign(cluster, namespaces, "")
    finally:
        await cluster.close()


def strangers(namespace: str) -> list[Body]:
    """What nobody may touch: plain objects, one that is called like ours, and one of another application."""
    marks = {
        "app.kubernetes.io/managed-by": "stellwerk",
        "stellwerk.dev/application": "another",
        "stellwerk.dev/instance": "i0",
        "stellwerk.dev/service": "texts",
    }
    return [
        config_map(namespace, "theirs"),
        config_map(namespace, "texts-99"),
        config_map(namespace, "marked", metadata={"labels": marks}),
        service(namespace, "web"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "settings-0", "namespace": namespace},
            "stringData": {"a": "b"},
        },
    ]


async def clear(kubeconfig: Path, namespaces: list[str]) -> None:
    """Delete the namespaces; nobody waits for their end."""
    cluster = KubernetesCluster(from_kubeconfig(str(kubeconfig)))
    try:
        for name in namespaces:
            await cluster.delete(Key("", "Namespace", name))
    finally:
        await cluster.close()


@pytest.mark.timeout(900)
def test_a_server_that_is_killed_in_the_middle_of_forty_operations_ends_them_all(
    tmp_path: Path, kubeconfig: Path
) -> None:
    prove(tmp_path, 1, kubeconfig, operations=OPERATIONS, kills=5)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_campaigns(tmp_path: Path, kubeconfig: Path) -> None:
    total = Soak()
    for number in range(CAMPAIGNS):
        seed = 1_000 + number
        scratch = tmp_path / str(seed)
        scratch.mkdir()
        started = time.monotonic()
        done = prove(scratch, seed, kubeconfig, operations=OPERATIONS, kills=10)
        total.add(seed, *done, time.monotonic() - started)
        total.write()  # after each: hours of others are not lost with one that finds a fault
