"""Whatever kind a signal names, the search begins there."""

from stellwerk.inquiry.linking.concluding import conclude
from stellwerk.inquiry.model import ObjectRef, Outcome
from support.bundles import body, bundle, pod, ref, service, workload

WAITS = [
    {"name": "main", "image": "app:1", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}
]
BROKEN = (*workload("web"), pod("web-1-a", owner="web", containerStatuses=WAITS))


def roots(target: ObjectRef, *objects: dict[str, object]) -> list[str]:
    return [f"{one.kind}/{one.name}" for one in conclude(bundle(target, *objects)).root_objects]


def test_a_pod_leads_to_its_workload() -> None:
    assert roots(ref("Pod", "web-1-a"), *BROKEN) == ["Deployment/web"]


def test_a_replica_set_leads_to_its_workload() -> None:
    assert roots(ref("ReplicaSet", "web-1"), *BROKEN) == ["Deployment/web"]


def test_a_service_leads_to_what_is_behind_it() -> None:
    assert roots(ref("Service", "web"), *BROKEN, *service("web", ready=False)) == ["Deployment/web"]


def test_a_namespace_leads_to_what_is_in_it() -> None:
    space = body("Namespace", "shop", metadata={"namespace": ""}, status={"phase": "Active"})

    assert roots(ref("Namespace", "shop", namespace=""), space, *BROKEN) == ["Deployment/web"]


def test_a_custom_resource_leads_to_what_it_made() -> None:
    owner = [{"kind": "Shop", "name": "main", "uid": "main", "controller": True}]
    deployment, replica_set, broken = BROKEN
    made = deployment | {"metadata": deployment["metadata"] | {"ownerReferences": owner}}
    shop = body(
        "Shop", "main", status={"conditions": [{"type": "Ready", "status": "False", "message": "no"}]}
    )

    assert roots(ref("Shop", "main"), shop, made, replica_set, broken) == ["Deployment/web"]


def test_a_custom_resource_that_says_why_is_its_own_root() -> None:
    stalled = [
        {"type": "Stalled", "status": "True", "reason": "BadSpec", "message": "spec.size must be positive"}
    ]
    found = conclude(bundle(ref("Shop", "main"), body("Shop", "main", status={"conditions": stalled})))

    assert [one.kind for one in found.root_objects] == ["Shop"]
    assert "spec.size must be positive" in found.summary


def test_a_kind_is_understood_as_it_is_typed() -> None:
    assert roots(ref("deployment", "web"), *BROKEN) == ["Deployment/web"]


def test_a_node_that_is_well_accuses_nobody() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    node = body("Node", "n1", metadata={"namespace": ""}, status={"conditions": ready})

    assert conclude(bundle(ref("Node", "n1", namespace=""), node)).outcome is Outcome.NOT_ACTIONABLE
