"""Bounded patches: each changes what it names, and nothing else."""

from typing import Any

import pytest

from stellwerk.inquiry.remedies.executors.patches import MAKERS, difference
from stellwerk.inquiry.remedies.remedy import CannotRemedy
from stellwerk.release.parameters.merging import merge

AT = "2026-11-22T06:00:00+00:00"


def deployment(**container: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "shop:v2", "resources": {"limits": {"memory": "64Mi", "cpu": "1"}}}
    containers = [{**main, **container}, {"name": "side", "image": "side:1"}]
    return {
        "kind": "Deployment",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "replicas": 2,
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}},
        },
    }


def patched(executor: str, body: dict[str, Any], made: Any = (), **parameters: Any) -> Any:
    return merge(body, MAKERS[executor](body, parameters, made, AT).body)


def container_of(body: Any, name: str = "main") -> Any:
    return next(one for one in body["spec"]["template"]["spec"]["containers"] if one["name"] == name)


def test_image_changes_one_container_and_leaves_the_others():
    after = patched("patch.image", deployment(), container="main", image="shop:v3")
    assert container_of(after) == {**container_of(deployment()), "image": "shop:v3"}
    assert container_of(after, "side") == container_of(deployment(), "side")


def test_memory_is_multiplied_up_to_the_bound_and_other_limits_stay():
    after = patched("patch.memory", deployment(), container="main", factor=2, at_most="4Gi")
    assert container_of(after)["resources"] == {"limits": {"memory": "128Mi", "cpu": "1"}}
    bounded = patched("patch.memory", deployment(), container="main", factor=4, at_most="100Mi")
    assert container_of(bounded)["resources"]["limits"]["memory"] == "100Mi"
    with pytest.raises(CannotRemedy, match="64Mi already"):
        patched("patch.memory", deployment(), container="main", factor=4, at_most="64Mi")


def test_variable_is_set_in_place_of_its_namesake():
    body = deployment(env=[{"name": "HOST", "value": "a"}, {"name": "PORT", "value": "1"}])
    after = patched("patch.environment", body, container="main", name="HOST", value="b")
    assert container_of(after)["env"] == [{"name": "PORT", "value": "1"}, {"name": "HOST", "value": "b"}]


def test_probe_keeps_what_is_not_named():
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5}
    after = patched(
        "patch.probe", deployment(livenessProbe=probe), container="main", probe="liveness", port=8080
    )
    assert container_of(after)["livenessProbe"] == {**probe, "httpGet": {"path": "/", "port": 8080}}
    with pytest.raises(CannotRemedy):
        patched("patch.probe", deployment(), container="main", probe="liveness", port=1)


def test_container_that_is_not_there_is_never_added():
    with pytest.raises(CannotRemedy, match="no container other"):
        patched("patch.image", deployment(), container="other", image="x")


def test_undo_puts_the_template_of_the_revision_before_back_and_takes_additions_away():
    def replica_set(revision: int, template: dict[str, Any]) -> dict[str, Any]:
        annotations = {"deployment.kubernetes.io/revision": str(revision)}
        return {"metadata": {"annotations": annotations}, "spec": {"template": template}}

    old = {
        "metadata": {"labels": {"a": "b", "pod-template-hash": "x"}},
        "spec": {"containers": [{"name": "main", "image": "shop:v1"}]},
    }
    body = deployment()
    body["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    made = [replica_set(2, body["spec"]["template"]), replica_set(1, old)]
    after = patched("workload.undo", body, made)
    assert after["spec"]["template"] == {"metadata": {"labels": {"a": "b"}}, "spec": old["spec"]}
    assert after["spec"]["replicas"] == 2
    with pytest.raises(CannotRemedy):
        patched("workload.undo", body, made[:1])


def test_scale_restart_resume_and_uncordon_touch_one_field():
    assert patched("workload.scale", deployment(), replicas=5)["spec"]["replicas"] == 5
    restarted = patched("workload.restart", deployment())["spec"]["template"]["metadata"]
    assert restarted["annotations"] == {"kubectl.kubernetes.io/restartedAt": AT}
    assert MAKERS["workload.resume"]({"kind": "Job"}, {}, (), AT).body == {"spec": {"suspend": False}}
    assert MAKERS["node.uncordon"]({"kind": "Node"}, {}, (), AT).body == {"spec": {"unschedulable": False}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}),
        ({"a": [1]}, {"a": [2]}),
        ({}, {"a": {}}),
    ],
)
def test_difference_makes_one_document_be_the_other(before: Any, after: Any):
    assert merge(before, difference(before, after)) == after
