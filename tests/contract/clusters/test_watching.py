"""Every cluster tells what is there, and then what happens, in order."""

from contextlib import aclosing

import pytest

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import key_of
from support.kube import MANAGER, config_map, next_change, random_name


async def test_a_watch_tells_what_is_there_then_what_happens(cluster: Cluster, namespace: str) -> None:
    labels = {"app": random_name()}
    old, new = (config_map(namespace, name, metadata={"labels": labels}) for name in ("old", "new"))
    await cluster.apply(old, manager=MANAGER)
    told = []

    async with aclosing(cluster.watch(Kind("ConfigMap"), namespace=namespace, labels=labels)) as watch:
        told += [await next_change(watch), await next_change(watch)]
        await cluster.apply(new, manager=MANAGER)
        told.append(await next_change(watch))
        await cluster.apply(new | {"data": {"colour": "blue"}}, manager=MANAGER)
        told.append(await next_change(watch))
        await cluster.delete(key_of(old))
        told.append(await next_change(watch))

    assert [(one.type, one.object.get("metadata", {}).get("name")) for one in told] == [
        ("added", "old"),
        ("listed", None),
        ("added", "new"),
        ("modified", "new"),
        ("deleted", "old"),
    ]
    assert told[3].object["data"] == {"colour": "blue"}
    assert all(
        (one.object["apiVersion"], one.object["kind"]) == ("v1", "ConfigMap") for one in told if one.object
    )


async def test_a_watch_of_all_namespaces_tells_only_what_carries_its_labels(
    cluster: Cluster, namespace: str
) -> None:
    labels = {"app": random_name()}
    marked = config_map(namespace, "marked", metadata={"labels": labels})

    async with aclosing(cluster.watch(Kind("ConfigMap"), labels=labels)) as watch:
        assert (await next_change(watch)).type == "listed"
        await cluster.apply(config_map(namespace, "other"), manager=MANAGER)
        await cluster.apply(marked, manager=MANAGER)
        change = await next_change(watch)

    assert (change.type, change.object["metadata"]["name"]) == ("added", "marked")


async def test_what_loses_the_label_counts_as_deleted(cluster: Cluster, namespace: str) -> None:
    labels = {"app": random_name()}
    await cluster.apply(config_map(namespace, metadata={"labels": labels}), manager=MANAGER)

    async with aclosing(cluster.watch(Kind("ConfigMap"), namespace=namespace, labels=labels)) as watch:
        assert [(await next_change(watch)).type for _ in range(2)] == ["added", "listed"]
        await cluster.apply(config_map(namespace), manager=MANAGER)

        assert (await next_change(watch)).type == "deleted"


async def test_a_kind_that_nobody_serves_cannot_be_watched(cluster: Cluster) -> None:
    async with aclosing(cluster.watch(Kind("Till", "shop.example"))) as watch:
        with pytest.raises(UnknownKind):
            await next_change(watch)
