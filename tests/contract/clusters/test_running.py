"""Every cluster runs workloads, and says why one cannot run, as far as the objects alone tell."""

import pytest

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body
from support.kube import MANAGER, deployment, until_gone, until_health, until_quota_counts, until_reason

ENV_FROM = {"envFrom": [{"configMapRef": {"name": "absent"}}]}
SECRET = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "a"}}}]}
TOO_MUCH = {"resources": {"requests": {"cpu": "10000"}}}


async def test_a_deployment_gets_its_pods(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(deployment(namespace, replicas=2), manager=MANAGER)

    await until_health(cluster, deployment(namespace), lambda one: one.status == "healthy")

    pods = await cluster.list(Kind("Pod"), namespace=namespace, labels={"app": "web"})
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]


async def test_fewer_replicas_leave_fewer_pods(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(deployment(namespace, replicas=1), manager=MANAGER)
    await until_health(cluster, deployment(namespace), lambda one: one.status == "healthy")
    (pod,) = await cluster.list(Kind("Pod"), namespace=namespace)

    await cluster.apply(deployment(namespace, replicas=0), manager=MANAGER)

    await until_gone(cluster, pod)


@pytest.mark.parametrize(
    ("container", "code"),
    [(ENV_FROM, "MissingConfigMap"), (SECRET, "MissingSecret"), (TOO_MUCH, "Unschedulable")],
    ids=["config-map", "secret", "request"],
)
async def test_what_cannot_run_says_why(cluster: Cluster, namespace: str, container: Body, code: str) -> None:
    await cluster.apply(deployment(namespace, **container), manager=MANAGER)

    found = await until_reason(cluster, deployment(namespace), code)

    assert found.reason is not None
    assert found.reason.object.kind == "Pod"
    if code != "Unschedulable":
        assert "absent" in found.reason.message


async def test_a_quota_that_leaves_no_pod_is_the_reason_at_once(cluster: Cluster, namespace: str) -> None:
    quota: Body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    await cluster.apply(quota, manager=MANAGER)
    await until_quota_counts(cluster, quota)
    await cluster.apply(deployment(namespace), manager=MANAGER)

    found = await until_health(cluster, deployment(namespace), lambda one: one.reason is not None)

    assert found.status == "degraded"
    assert found.reason is not None
    assert (found.reason.code, found.reason.certain) == ("QuotaExceeded", True)
