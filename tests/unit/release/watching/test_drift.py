"""What differs from what was applied is drift, unless it may differ."""

from typing import Any

from stellwerk.release.comparing import FieldChange
from stellwerk.release.inventory import Entry, Inventory
from stellwerk.release.objects import Manifest
from stellwerk.release.plan import Action, Step
from stellwerk.release.watching.drift import (
    Applied,
    Drift,
    DriftKind,
    drift_of,
    judgeable,
    scaled_by,
)
from support.worlds import THEM, US, body, live, manifest

FRONT = manifest(body("Deployment", "front", api_version="apps/v1", spec={"replicas": 1}))
REPLICAS = FieldChange("spec.replicas", 3, 1)
IMAGE = FieldChange("spec.template.spec.containers[name=main].image", "a", "b")


def inventory(*wanted: Manifest, hash: str | None = None) -> Inventory:  # noqa: A002  the field's name
    return Inventory(
        {one.key: Entry("web", one.api_version, one.hash if hash is None else hash) for one in wanted}
    )


def step(action: Action, *changes: FieldChange, **more: Any) -> Step:
    return Step(action, FRONT.key, "web", FRONT, changes, **more)


def seen(one: Step, **applied: Any) -> Drift | None:
    return drift_of(one, live(FRONT.body), Applied(US, **applied))


def test_only_what_surely_was_applied_can_drift() -> None:
    assert judgeable([FRONT], inventory(FRONT)) == [FRONT]
    assert judgeable([FRONT], inventory(FRONT, hash="")) == []
    assert judgeable([FRONT], Inventory()) == []


def test_hooks_jobs_that_go_by_themselves_and_what_is_annotated_are_left_out() -> None:
    hook = manifest(body("Job", "hook", api_version="batch/v1", annotations={"stellwerk.dev/hook": "pre-up"}))
    brief = manifest(body("Job", "brief", api_version="batch/v1", spec={"ttlSecondsAfterFinished": 5}))
    free = manifest(body(name="free", annotations={"stellwerk.dev/drift": "ignore"}))
    job = manifest(body("Job", "job", api_version="batch/v1", spec={}))
    every = [hook, brief, free, job]
    assert judgeable(every, inventory(*every)) == [job]


def test_what_an_operation_would_change_is_drift() -> None:
    expected = Drift(
        key=FRONT.key, service="web", kind=DriftKind.CHANGED, fields=("spec.replicas",), owner="kubectl"
    )
    assert seen(step(Action.UPDATE, REPLICAS, owner="kubectl")) == expected
    assert seen(step(Action.UNCHANGED)) is None


def test_what_an_operation_would_create_is_missing() -> None:
    assert drift_of(step(Action.CREATE), None, Applied(US)) == Drift(
        key=FRONT.key, service="web", kind=DriftKind.MISSING
    )


def test_the_replicas_of_what_an_autoscaler_scales_are_its_own() -> None:
    target = {"kind": "Deployment", "name": "front", "apiVersion": "apps/v1"}
    scaler = body("HorizontalPodAutoscaler", api_version="autoscaling/v2", spec={"scaleTargetRef": target})
    scaled = scaled_by([scaler])
    assert seen(step(Action.UPDATE, REPLICAS), scaled=scaled) is None
    both = seen(step(Action.UPDATE, REPLICAS, IMAGE), scaled=scaled)
    assert both is not None
    assert both.fields == (IMAGE.path,)


def test_an_object_of_another_application_was_taken() -> None:
    found = drift_of(step(Action.UPDATE, REPLICAS), live(FRONT.body, THEM), Applied(US))
    assert found == Drift(key=FRONT.key, service="web", kind=DriftKind.TAKEN, owner="bank/default")


def test_values_are_not_kept() -> None:
    found = seen(step(Action.UPDATE, FieldChange("spec.env", "hunter2", "hunter3")))
    assert "hunter" not in repr(found)
