"""Objects for tests on clusters, and what tests wait for."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from stellwerk.release.clusters.cluster import Changed, Cluster
from stellwerk.release.clusters.kinds import Kind, kind_of
from stellwerk.release.health import Health, health
from stellwerk.release.objects import Body, Key, key_of
from stellwerk.release.observing import look_around

IMAGE = "localhost/busybox:1"
MANAGER = "stellwerk-test"


def random_name(prefix: str = "t") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def config_map(
    namespace: str, name: str = "settings", data: dict[str, str] | None = None, **more: Any
) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **more.pop("metadata", {})},
        "data": data if data is not None else {"colour": "red"},
        **more,
    }


def deployment(namespace: str, name: str = "web", *, replicas: int = 1, **container: Any) -> Body:
    """A Deployment with one container, which sleeps unless told otherwise."""
    spec = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"],
        **container,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [spec]},
            },
        },
    }


def job(namespace: str, name: str = "work") -> Body:
    """A Job whose work is nothing."""
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["true"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": pod}},
    }


def service(namespace: str, name: str) -> Body:
    """A Service for the pods of a Deployment of the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "protocol": "TCP"}]},
    }


def definition(group: str, kind: str = "Widget") -> Body:
    """A CustomResourceDefinition of a namespaced kind with any spec."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def version_of(body: Body) -> str:
    """Tell writes of what is wanted apart: controllers write the status of a workload meanwhile."""
    metadata = body["metadata"]
    if "status" not in body:
        return f"{metadata['uid']} {metadata['resourceVersion']}"
    writers = sorted(
        f"{one['manager']} {one['operation']} {one.get('time')}"
        for one in metadata.get("managedFields", ())
        if one.get("subresource") != "status" and one["manager"] != "kube-controller-manager"
    )
    return f"{metadata['uid']} {metadata.get('generation')} {writers}"


async def health_of(cluster: Cluster, key: Key) -> Health:
    """How an object is now, with everything that is known around it."""
    body = await cluster.get(key)
    if body is None:
        return health(None, await look_around(cluster, {}, datetime.now(UTC)))
    return health(body, await look_around(cluster, body, datetime.now(UTC)))


async def until_health(
    cluster: Cluster, body: Body, enough: Callable[[Health], bool], *, within_s: float = 60.0
) -> Health:
    """Wait until an object's health is as a test wants it; fails with the last one that was seen."""
    key, last = key_of(body), None
    try:
        async with asyncio.timeout(within_s):
            while not enough(last := await health_of(cluster, key)):  # noqa: ASYNC110  many kinds are looked at
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"after {within_s:.0f} s {key} is {last}") from None
    return last


async def until_reason(cluster: Cluster, body: Body, code: str) -> Health:
    """Wait until this is why an object is not well; on a busy node another one may be told before."""
    return await until_health(cluster, body, lambda one: one.reason is not None and one.reason.code == code)


async def until_gone(cluster: Cluster, body: Body, *, within_s: float = 60.0) -> None:
    """Wait until an object is not there any more."""
    namespace = body["metadata"].get("namespace")
    async with asyncio.timeout(within_s), aclosing(cluster.watch(kind_of(body), namespace=namespace)) as told:
        there = False
        async for change in told:
            if change.type == "listed" and not there:
                return
            if change.object.get("metadata", {}).get("name") == body["metadata"]["name"]:
                if change.type == "deleted":
                    return
                there = True


async def until_listed(
    cluster: Cluster, kind: Kind, namespace: str, is_it: Callable[[Body], bool], *, within_s: float = 60.0
) -> Body:
    """Wait for an object that a test describes."""
    async with asyncio.timeout(within_s), aclosing(cluster.watch(kind, namespace=namespace)) as told:
        async for change in told:
            if change.object and is_it(change.object):
                return change.object
    raise AssertionError("a watch has no end")


async def next_change(told: AsyncIterator[Changed], *, within_s: float = 10.0) -> Changed:
    """What a watch tells next."""
    async with asyncio.timeout(within_s):
        return await anext(told)


async def a_namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace of the test's own, deleted afterwards; nobody waits for its end."""
    name = random_name()
    await cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager=MANAGER
    )
    yield name
    await cluster.delete(Key("", "Namespace", name))


async def until_quota_counts(cluster: Cluster, quota: Body, *, within_s: float = 30.0) -> None:
    """Wait until a quota has counted what is there: before, it refuses nothing."""
    watch = cluster.watch(Kind("ResourceQuota"), namespace=quota["metadata"]["namespace"])
    async with asyncio.timeout(within_s), aclosing(watch) as told:
        async for change in told:
            if change.object.get("status", {}).get("hard"):
                return
