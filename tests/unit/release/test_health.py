"""Objects are well when they do what they are there for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from stellwerk.release.health import HEALTHY, Health, Related, health, worst
from stellwerk.release.objects import Body

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def judge(body: Body | None, **related: Any) -> str:
    return health(body, Related(NOW, **related)).status


def an(
    kind: str, api_version: str, spec: Body | None = None, status: Body | None = None, **metadata: Any
) -> Body:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "a", "namespace": "n", **metadata},
        "spec": spec or {},
        "status": status or {},
    }


def holds(*conditions: str, **more: Any) -> Body:
    """A status with these conditions: `Ready`, or `-Ready` for one that is false."""
    listed = [
        {"type": one.removeprefix("-"), "status": "False" if one.startswith("-") else "True"}
        for one in conditions
    ]
    return {"conditions": listed, **more}


ROLLED_OUT = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
STATEFUL = {
    "observedGeneration": 1,
    "replicas": 2,
    "readyReplicas": 2,
    "currentRevision": "a",
    "updateRevision": "a",
}
DAEMON = {
    "observedGeneration": 1,
    "desiredNumberScheduled": 2,
    "updatedNumberScheduled": 2,
    "numberAvailable": 2,
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "progressing"),
        (ROLLED_OUT, "healthy"),
        (ROLLED_OUT | {"observedGeneration": 1}, "progressing"),
        (ROLLED_OUT | {"updatedReplicas": 1}, "progressing"),
        (ROLLED_OUT | {"replicas": 4}, "progressing"),
        (ROLLED_OUT | {"availableReplicas": 2}, "progressing"),
        (ROLLED_OUT | holds("-Progressing"), "degraded"),
    ],
)
def test_a_deployment_is_well_when_all_its_pods_are_new_and_available(status: Body, expected: str) -> None:
    assert judge(an("Deployment", "apps/v1", {"replicas": 3}, status, generation=2)) == expected


def test_a_deployment_that_lost_its_pods_is_degraded() -> None:
    conditions = [
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        {"type": "Available", "status": "False"},
    ]
    lost = ROLLED_OUT | {"availableReplicas": 0, "conditions": conditions}

    assert judge(an("Deployment", "apps/v1", {"replicas": 3}, lost)) == "degraded"


def test_a_paused_rollout_is_suspended() -> None:
    body = an("Deployment", "apps/v1", {"replicas": 3, "paused": True}, ROLLED_OUT | {"updatedReplicas": 0})

    assert judge(body) == "suspended"


def test_a_deployment_of_none_is_well() -> None:
    assert judge(an("Deployment", "apps/v1", {"replicas": 0}, {"observedGeneration": 1})) == "healthy"


@pytest.mark.parametrize(
    ("kind", "api_version", "spec", "status", "expected"),
    [
        ("StatefulSet", "apps/v1", {"replicas": 2}, STATEFUL, "healthy"),
        ("StatefulSet", "apps/v1", {"replicas": 2}, STATEFUL | {"readyReplicas": 1}, "progressing"),
        ("StatefulSet", "apps/v1", {"replicas": 2}, STATEFUL | {"updateRevision": "b"}, "progressing"),
        (
            "StatefulSet",
            "apps/v1",
            {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            STATEFUL | {"updateRevision": "b", "updatedReplicas": 1},
            "healthy",
        ),
        ("DaemonSet", "apps/v1", {}, DAEMON, "healthy"),
        ("DaemonSet", "apps/v1", {}, {}, "progressing"),
        ("DaemonSet", "apps/v1", {}, DAEMON | {"numberAvailable": 1}, "progressing"),
        ("Pod", "v1", {}, holds("Ready", phase="Running"), "healthy"),
        ("Pod", "v1", {}, holds("-Ready", phase="Running"), "progressing"),
        ("Pod", "v1", {}, {"phase": "Succeeded"}, "healthy"),
        ("Pod", "v1", {}, {"phase": "Failed"}, "degraded"),
        ("Job", "batch/v1", {}, {}, "progressing"),
        ("Job", "batch/v1", {}, holds("Complete"), "healthy"),
        ("Job", "batch/v1", {}, holds("Failed"), "degraded"),
        ("CronJob", "batch/v1beta1", {}, {}, "healthy"),
        ("CronJob", "batch/v1", {"suspend": True}, {}, "suspended"),
        ("PersistentVolumeClaim", "v1", {}, {"phase": "Bound"}, "healthy"),
        ("PersistentVolumeClaim", "v1", {}, {"phase": "Pending"}, "progressing"),
        ("PersistentVolumeClaim", "v1", {}, {"phase": "Lost"}, "degraded"),
        ("Service", "v1", {"type": "LoadBalancer"}, {}, "progressing"),
        ("Service", "v1", {"selector": {"a": "b"}}, {}, "healthy"),
        ("Namespace", "v1", {}, {"phase": "Active"}, "healthy"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1", {}, {}, "progressing"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1", {}, holds("Established"), "healthy"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1", {}, holds("-NamesAccepted"), "degraded"),
        ("ConfigMap", "v1", {}, {}, "healthy"),
        ("Widget", "shop.example/v1", {}, {}, "healthy"),
        ("Widget", "shop.example/v1", {}, holds("Ready"), "healthy"),
        ("Widget", "shop.example/v1", {}, holds("-Ready"), "progressing"),
        ("Widget", "shop.example/v1", {}, holds("Ready", "Reconciling"), "progressing"),
        ("Widget", "shop.example/v1", {}, holds("Stalled"), "degraded"),
    ],
)
def test_each_kind_tells_in_its_own_way(
    kind: str, api_version: str, spec: Body, status: Body, expected: str
) -> None:
    assert judge(an(kind, api_version, spec, status)) == expected


def test_a_claim_that_waits_for_its_first_pod_is_in_nobodys_way() -> None:
    claim = an("PersistentVolumeClaim", "v1", {}, {"phase": "Pending"})

    assert judge(claim, events=[{"reason": "WaitForFirstConsumer"}]) == "healthy"


def test_a_service_without_pods_behind_it_says_so() -> None:
    service = an("Service", "v1", {"selector": {"a": "b"}})

    found = health(service, Related(NOW, endpoints={"subsets": []}))

    assert (found.status, found.reason and found.reason.code) == ("progressing", "NoEndpoints")
    assert judge(service, endpoints={"subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]}) == "healthy"


def test_what_is_not_there_is_missing() -> None:
    assert judge(None) == "missing"


def test_what_is_being_deleted_is_in_progress() -> None:
    assert judge(an("ConfigMap", "v1", deletionTimestamp="2026-05-01T11:00:00Z")) == "progressing"


def test_a_certain_reason_makes_degraded() -> None:
    waiting = {"name": "m", "state": {"waiting": {"reason": "InvalidImageName", "message": "no"}}}
    pod = an("Pod", "v1", {}, {"phase": "Pending", "containerStatuses": [waiting]})

    found = health(pod, Related(NOW))

    assert found.status == "degraded"
    assert found.message == "is not running: InvalidImageName: container m: no"


def test_a_whole_is_as_well_as_its_worst_part() -> None:
    degraded = Health("degraded", "why")

    assert worst([HEALTHY, degraded, Health("progressing")]) == degraded
    assert worst([]) == HEALTHY
