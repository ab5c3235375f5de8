"""Every cluster deletes what is named and nothing else, and changes what is there."""

import pytest

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Gone, Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Key, key_of
from support.kube import MANAGER, config_map, deployment, random_name, until_gone, until_health


async def test_a_deleted_object_is_not_there(cluster: Cluster, namespace: str) -> None:
    body = config_map(namespace)
    await cluster.apply(body, manager=MANAGER)

    assert await cluster.delete(key_of(body))

    assert await cluster.get(key_of(body)) is None


async def test_deleting_what_is_not_there_is_told(cluster: Cluster, namespace: str) -> None:
    assert not await cluster.delete(Key(namespace, "ConfigMap", "nothing"))


async def test_a_namesake_with_another_uid_is_left_alone(cluster: Cluster, namespace: str) -> None:
    body = config_map(namespace)
    applied = await cluster.apply(body, manager=MANAGER)

    assert not await cluster.delete(key_of(body), uid="2f6ff9a1-0000-4000-8000-000000000000")
    assert await cluster.get(key_of(body)) is not None
    assert await cluster.delete(key_of(body), uid=applied.object["metadata"]["uid"])


async def test_a_dry_deletion_leaves_everything(cluster: Cluster, namespace: str) -> None:
    body = config_map(namespace)
    await cluster.apply(body, manager=MANAGER)

    assert await cluster.delete(key_of(body), dry_run=True)

    assert await cluster.get(key_of(body)) is not None


async def test_what_a_workload_made_goes_with_it(cluster: Cluster, namespace: str) -> None:
    workload = deployment(namespace, replicas=0)
    await cluster.apply(workload, manager=MANAGER)
    await until_health(cluster, workload, lambda one: one.status == "healthy")
    (made,) = await cluster.list(Kind("ReplicaSet", "apps"), namespace=namespace)

    await cluster.delete(key_of(workload), propagation="foreground")

    await until_gone(cluster, made)
    await until_gone(cluster, workload)


async def test_what_is_orphaned_stays(cluster: Cluster, namespace: str) -> None:
    workload = deployment(namespace, replicas=0)
    await cluster.apply(workload, manager=MANAGER)
    await until_health(cluster, workload, lambda one: one.status == "healthy")
    (made,) = await cluster.list(Kind("ReplicaSet", "apps"), namespace=namespace)

    await cluster.delete(key_of(workload), propagation="orphan")
    await until_gone(cluster, workload)

    left = await cluster.get(key_of(made))
    assert left is not None
    assert not left["metadata"].get("ownerReferences")


async def test_a_namespace_that_every_cluster_needs_is_not_deleted(cluster: Cluster) -> None:
    with pytest.raises(Refused) as raised:
        await cluster.delete(Key("", "Namespace", "kube-system"))

    assert raised.value.reason == "forbidden"


async def test_a_namespace_that_is_being_deleted_takes_nothing_new(cluster: Cluster) -> None:
    name = random_name()
    held = config_map(name, metadata={"finalizers": ["example.com/hold"]})
    await cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager=MANAGER
    )
    await cluster.apply(held, manager=MANAGER)
    try:
        assert await cluster.delete(Key("", "Namespace", name))

        with pytest.raises(Refused) as raised:
            await cluster.apply(config_map(name, "another"), manager=MANAGER)
        assert raised.value.reason == "namespace_terminating"
    finally:
        await cluster.patch(key_of(held), {"metadata": {"finalizers": None}}, manager=MANAGER)


async def test_an_object_that_is_held_is_seen_until_it_is_let_go(cluster: Cluster, namespace: str) -> None:
    held = config_map(namespace, metadata={"finalizers": ["example.com/hold"]})
    await cluster.apply(held, manager=MANAGER)

    assert await cluster.delete(key_of(held))

    seen = await cluster.get(key_of(held))
    assert seen is not None
    assert seen["metadata"]["deletionTimestamp"]
    await cluster.patch(key_of(held), {"metadata": {"finalizers": None}}, manager=MANAGER)
    await until_gone(cluster, held)


async def test_patches_change_what_they_name(cluster: Cluster, namespace: str) -> None:
    body = config_map(namespace, data={"colour": "red", "size": "large"})
    await cluster.apply(body, manager=MANAGER)

    merged = await cluster.patch(key_of(body), {"data": {"colour": "blue", "size": None}}, manager=MANAGER)
    changed = await cluster.patch(
        key_of(body),
        [{"op": "add", "path": "/data/shape", "value": "round"}],
        manager=MANAGER,
        patch_type="json",
    )

    assert merged["data"] == {"colour": "blue"}
    assert changed["data"] == {"colour": "blue", "shape": "round"}


async def test_a_dry_patch_changes_nothing(cluster: Cluster, namespace: str) -> None:
    body = config_map(namespace)
    await cluster.apply(body, manager=MANAGER)

    answer = await cluster.patch(key_of(body), {"data": {"colour": "blue"}}, manager=MANAGER, dry_run=True)

    assert answer["data"] == {"colour": "blue"}
    found = await cluster.get(key_of(body))
    assert found is not None
    assert found["data"] == {"colour": "red"}


async def test_what_is_not_there_cannot_be_patched(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Gone):
        await cluster.patch(Key(namespace, "ConfigMap", "nothing"), {"data": {}}, manager=MANAGER)
