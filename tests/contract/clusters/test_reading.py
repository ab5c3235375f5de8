"""Every cluster shows what it holds, and what may be done with it."""

import asyncio

import pytest

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Gone, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Key
from support.kube import MANAGER, config_map, random_name


def names(bodies: object) -> list[str]:
    return sorted(body["metadata"]["name"] for body in bodies)  # type: ignore[attr-defined]  # objects of a list


async def test_what_is_not_there_is_none(cluster: Cluster, namespace: str) -> None:
    assert await cluster.get(Key(namespace, "ConfigMap", "nothing")) is None
    assert await cluster.get(Key(random_name(), "ConfigMap", "nothing")) is None


async def test_a_list_has_what_carries_its_labels(cluster: Cluster, namespace: str) -> None:
    mark = random_name()
    for name, labels in (("a", {"app": mark, "tier": "1"}), ("b", {"app": mark}), ("c", {"app": "else"})):
        await cluster.apply(config_map(namespace, name, metadata={"labels": labels}), manager=MANAGER)

    here = await cluster.list(Kind("ConfigMap"), namespace=namespace, labels={"app": mark})
    everywhere = await cluster.list(Kind("ConfigMap"), labels={"app": mark})
    both = await cluster.list(Kind("ConfigMap"), namespace=namespace, labels={"app": mark, "tier": "1"})

    assert names(here) == names(everywhere) == ["a", "b"]
    assert names(both) == ["a"]
    assert {(one["apiVersion"], one["kind"]) for one in here} == {("v1", "ConfigMap")}


async def test_a_kind_that_is_in_several_groups_is_found_by_its_group(cluster: Cluster) -> None:
    workload = await cluster.resolve(Kind("Deployment", "apps"))

    assert (workload.plural, workload.namespaced, workload.api_version) == ("deployments", True, "apps/v1")
    assert {"get", "list", "watch", "patch", "delete"} <= workload.verbs
    assert not (await cluster.resolve(Kind("Namespace"))).namespaced
    with pytest.raises(UnknownKind):
        await cluster.resolve(Kind("Deployment", "elsewhere.example"))


async def test_all_kinds_are_listed_once(cluster: Cluster) -> None:
    listed = [(info.group, info.kind) for info in await cluster.kinds()]

    assert len(listed) == len(set(listed))
    assert {("", "ConfigMap"), ("apps", "Deployment"), ("batch", "Job")} <= set(listed)


async def test_the_version_is_one(cluster: Cluster) -> None:
    assert (await cluster.version()).startswith("v1.")


async def test_who_may_do_everything_is_told_so(cluster: Cluster, namespace: str) -> None:
    assert await cluster.allowed("create", Kind("Deployment", "apps"), namespace)
    assert await cluster.allowed("list", Kind("Secret"))


async def test_the_log_of_a_pod_that_is_not_there_is_gone(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Gone):
        await cluster.logs(namespace, "nobody", "main")


async def test_many_objects_at_once_are_all_there(cluster: Cluster, namespace: str) -> None:
    wanted = [config_map(namespace, f"c{number:03}") for number in range(60)]

    await asyncio.gather(*(cluster.apply(body, manager=MANAGER) for body in wanted))

    listed = names(await cluster.list(Kind("ConfigMap"), namespace=namespace))
    assert [name for name in listed if name.startswith("c")] == [body["metadata"]["name"] for body in wanted]
