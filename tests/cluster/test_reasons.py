"""What really fails on a real node has its own reason, and is certain when waiting is of no use."""

import asyncio

import pytest

from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.health import Health
from stellwerk.release.objects import Body
from stellwerk.release.reasons import with_log
from support.kube import MANAGER, deployment, until_health, until_reason

pytestmark = pytest.mark.cluster

seen_from_outside = pytest.mark.soak
"""`test_failures.py` shows the same reason in an answer each time; here it is looked at alone."""


def certain(found: Health) -> bool:
    return found.reason is not None and found.reason.certain


async def outcome(cluster: KubernetesCluster, workload: Body) -> Health:
    """Apply a workload that cannot work and wait until that is certain."""
    await cluster.apply(workload, manager=MANAGER)
    return await until_health(cluster, workload, certain)


@seen_from_outside
async def test_an_image_that_cannot_be_pulled(cluster: KubernetesCluster, namespace: str) -> None:
    found = await outcome(cluster, deployment(namespace, image="127.0.0.1:9/absent:1"))

    assert found.reason is not None
    assert (found.status, found.reason.code) == ("degraded", "ImagePullBackOff")
    assert "127.0.0.1:9/absent:1" in found.reason.message


async def test_an_image_name_that_is_none(cluster: KubernetesCluster, namespace: str) -> None:
    found = await outcome(cluster, deployment(namespace, image="UPPER//case"))

    assert found.reason is not None
    assert (found.status, found.reason.code) == ("degraded", "InvalidImageName")


@seen_from_outside
async def test_a_crash_with_its_exit_code_and_its_last_line(
    cluster: KubernetesCluster, namespace: str
) -> None:
    found = await outcome(
        cluster, deployment(namespace, command=["sh", "-c", "echo starting; echo no database; exit 3"])
    )

    assert found.reason is not None
    assert found.reason.code == "CrashLoopBackOff"
    assert "exit code 3" in found.reason.message
    place = found.reason.log
    assert place is not None
    log = await cluster.logs(place.namespace, place.pod, place.container, previous=place.previous)
    assert with_log(found.reason, log).message.endswith("last line: no database")


async def test_a_program_that_is_not_in_the_image(cluster: KubernetesCluster, namespace: str) -> None:
    found = await outcome(cluster, deployment(namespace, command=["/absent/program"]))

    assert found.reason is not None
    assert found.reason.code == "StartError"
    assert "/absent/program" in found.reason.message


@seen_from_outside
async def test_a_container_that_takes_too_much_memory(cluster: KubernetesCluster, namespace: str) -> None:
    eat = "x=a; while true; do x=$x$x; done"
    found = await outcome(
        cluster,
        deployment(
            namespace,
            command=["sh", "-c", eat],
            resources={"limits": {"memory": "24Mi"}, "requests": {"memory": "8Mi"}},
        ),
    )

    assert found.reason is not None
    assert found.reason.code == "OOMKilled"


async def test_a_readiness_probe_that_fails_is_told_but_never_certain(
    cluster: KubernetesCluster, namespace: str
) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    workload = deployment(namespace, readinessProbe=probe)
    await cluster.apply(workload, manager=MANAGER)

    found = await until_reason(cluster, workload, "ProbeFailed")

    assert found.reason is not None
    assert (found.status, found.reason.certain) == ("progressing", False)


@seen_from_outside
async def test_a_config_map_that_does_not_come_is_certain_after_twenty_seconds(
    cluster: KubernetesCluster, namespace: str
) -> None:
    source = {"envFrom": [{"configMapRef": {"name": "absent"}}]}
    began_at = asyncio.get_running_loop().time()

    found = await outcome(cluster, deployment(namespace, **source))

    assert found.reason is not None
    assert found.reason.code == "MissingConfigMap"
    assert asyncio.get_running_loop().time() - began_at > 15


async def test_a_volume_of_a_secret_that_is_not_there(cluster: KubernetesCluster, namespace: str) -> None:
    workload = deployment(namespace, volumeMounts=[{"name": "keys", "mountPath": "/keys"}])
    pod = workload["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "keys", "secret": {"secretName": "absent"}}]
    await cluster.apply(workload, manager=MANAGER)

    found = await until_reason(cluster, workload, "MissingSecret")

    assert found.reason is not None
    assert "absent" in found.reason.message


async def test_the_log_of_a_container_is_read(cluster: KubernetesCluster, namespace: str) -> None:
    workload = deployment(namespace, command=["sh", "-c", "echo one; echo two; sleep 3600"])
    await cluster.apply(workload, manager=MANAGER)
    await until_health(cluster, workload, lambda one: one.status == "healthy")
    (pod,) = await cluster.list(Kind("Pod"), namespace=namespace)

    async def read() -> str:
        return await cluster.logs(namespace, pod["metadata"]["name"], "main", tail=1)

    async with asyncio.timeout(10):
        while not (log := await read()):  # noqa: ASYNC110  the kubelet writes it a moment later
            await asyncio.sleep(0.1)
    assert log == "two\n"
