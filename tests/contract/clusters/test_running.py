"""Every cluster runs workloads, and says why one cannot run, as far as the objects alone tell."""

import pytest

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, key_of
from support.kube import (
    MANAGER,
    config_map,
    deployment,
    job,
    service,
    until_gone,
    until_health,
    until_listed,
    until_quota_counts,
    until_reason,
)

ENV_FROM = {"envFrom": [{"configMapRef": {"name": "absent"}}]}
SECRET = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "a"}}}]}
TOO_MUCH = {"resources": {"requests": {"cpu": "10000"}}}
REVISION = "deployment.kubernetes.io/revision"


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


async def test_what_was_missing_lets_pods_start_when_it_comes(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(deployment(namespace, **ENV_FROM), manager=MANAGER)
    await until_reason(cluster, deployment(namespace), "MissingConfigMap")

    await cluster.apply(config_map(namespace, "absent"), manager=MANAGER)

    await until_health(cluster, deployment(namespace), lambda one: one.status == "healthy")


async def test_a_claim_and_a_node_that_are_not_there_keep_pods_from_being_placed(
    cluster: Cluster, namespace: str
) -> None:
    homeless, claiming = deployment(namespace, "homeless"), deployment(namespace, "claiming")
    homeless["spec"]["template"]["spec"]["nodeSelector"] = {"kind-of-node": "none"}
    claiming["spec"]["template"]["spec"]["volumes"] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "absent"}}
    ]
    for workload in (homeless, claiming):
        await cluster.apply(workload, manager=MANAGER)

    await until_reason(cluster, homeless, "Unschedulable")
    found = await until_reason(cluster, claiming, "MissingClaim")
    assert found.reason is not None
    assert "absent" in found.reason.message


async def test_an_image_name_that_is_none_is_certain_at_once(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(deployment(namespace, image="UPPER//case"), manager=MANAGER)

    found = await until_reason(cluster, deployment(namespace), "InvalidImageName")

    assert found.status == "degraded"


async def test_a_service_account_that_is_not_there_is_the_reason(cluster: Cluster, namespace: str) -> None:
    workload = deployment(namespace)
    workload["spec"]["template"]["spec"]["serviceAccountName"] = "absent"
    await cluster.apply(workload, manager=MANAGER)

    await until_reason(cluster, workload, "MissingServiceAccount")


async def test_a_changed_template_replaces_the_pods_and_keeps_the_old_replica_set_empty(
    cluster: Cluster, namespace: str
) -> None:
    await cluster.apply(deployment(namespace), manager=MANAGER)
    await until_health(cluster, deployment(namespace), lambda one: one.status == "healthy")
    (old,) = await cluster.list(Kind("Pod"), namespace=namespace)

    changed = deployment(namespace, env=[{"name": "A", "value": "2"}])
    await cluster.apply(changed, manager=MANAGER)
    await until_gone(cluster, old)

    await until_health(cluster, changed, lambda one: one.status == "healthy")
    sets = await cluster.list(Kind("ReplicaSet", "apps"), namespace=namespace)
    assert sorted((one["metadata"]["annotations"][REVISION], one["spec"]["replicas"]) for one in sets) == [
        ("1", 0),
        ("2", 1),
    ]


async def test_a_template_that_fails_leaves_the_old_pods_at_work(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(deployment(namespace), manager=MANAGER)
    await until_health(cluster, deployment(namespace), lambda one: one.status == "healthy")
    (old,) = await cluster.list(Kind("Pod"), namespace=namespace)
    broken = deployment(namespace, image="UPPER//case")

    await cluster.apply(broken, manager=MANAGER)
    await until_reason(cluster, broken, "InvalidImageName")

    still = await cluster.get(key_of(old | {"apiVersion": "v1", "kind": "Pod"}))
    assert still is not None
    assert "deletionTimestamp" not in still["metadata"]
    await cluster.apply(deployment(namespace), manager=MANAGER)
    await until_health(cluster, broken, lambda one: one.status == "healthy")


async def test_a_job_does_its_work_once(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(job(namespace), manager=MANAGER)

    await until_health(cluster, job(namespace), lambda one: one.status == "healthy")

    (pod,) = await cluster.list(Kind("Pod"), namespace=namespace)
    assert pod["status"]["phase"] == "Succeeded"


async def test_a_service_knows_the_pods_behind_it(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(service(namespace, "nobody"), manager=MANAGER)
    await cluster.apply(service(namespace, "web"), manager=MANAGER)
    await cluster.apply(deployment(namespace), manager=MANAGER)

    found = await until_health(cluster, service(namespace, "web"), lambda one: one.status == "healthy")
    alone = await until_health(cluster, service(namespace, "nobody"), lambda one: one.reason is not None)

    assert found.reason is None
    assert alone.reason is not None
    assert alone.reason.code == "NoEndpoints"


async def test_what_happens_is_told_in_events(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(deployment(namespace, **ENV_FROM), manager=MANAGER)

    told = await until_listed(
        cluster, Kind("Event"), namespace, lambda one: 'configmap "absent" not found' in one["message"]
    )

    assert (told["type"], told["involvedObject"]["kind"]) == ("Warning", "Pod")
    assert told["count"] >= 1
