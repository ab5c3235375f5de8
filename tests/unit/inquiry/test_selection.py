"""Which workflow fits a cause."""

import pytest
from msgspec.structs import replace

from stellwerk.inquiry.model import Change, ObjectRef
from stellwerk.inquiry.remedies.catalogue import packaged
from stellwerk.inquiry.remedies.selection import Circumstances, Tries, select
from stellwerk.inquiry.remedies.workflow import Description, InvalidWorkflow, Workflow, check
from support.inquiry import BAD_IMAGE, FRONTEND

REGRESSION = frozenset({"present", "not_gitops", "regression"})
UNMANAGED = REGRESSION | {"not_managed", "earlier_revision"}
MANAGED = REGRESSION | {"managed", "earlier_release"}
NO_REGRESSION = UNMANAGED - {"regression"}
OOM = replace(BAD_IMAGE, cause="OomKilled", facts={"container": "main", "limit": "64Mi"})


def test_packaged_workflows_are_valid_and_have_different_ids():
    found = packaged()
    assert len({one.id for one in found}) == len(found) >= 12


def test_fault_that_a_release_brought_is_rolled_back_by_a_release():
    change = Change(object=FRONTEND, at=1, by="ci", what="image", release=4)
    conclusion = replace(BAD_IMAGE, introduced_by=change)
    chosen = select(conclusion, Circumstances(MANAGED | {"introduced_by_release"}), packaged())
    assert chosen.choice is not None
    assert (chosen.choice.workflow_id, chosen.choice.executor) == ("rollback-release", "release.rollback")
    assert [one.workflow_id for one in chosen.alternatives] == ["rollback-service"]


def test_deployment_that_is_not_ours_goes_back_to_the_revision_that_the_cluster_keeps():
    chosen = select(BAD_IMAGE, Circumstances(UNMANAGED), packaged())
    assert chosen.choice is not None
    assert chosen.choice.workflow_id == "undo-rollout"
    assert chosen.choice.parameters["TARGET_RESOURCE_NAME"] == "frontend"


def test_object_that_a_gitops_tool_keeps_is_not_patched():
    chosen = select(BAD_IMAGE, Circumstances(UNMANAGED - {"not_gitops"}), packaged())
    assert chosen.choice is None
    errors = {one.workflow_id: one.errors for one in chosen.checked}
    assert "the target is kept by a GitOps tool, which would undo the change" in errors["undo-rollout"]


def test_parameters_are_taken_from_the_proven_facts():
    chosen = select(OOM, Circumstances(NO_REGRESSION), packaged())
    assert chosen.choice is not None
    parameters = chosen.choice.parameters
    assert (chosen.choice.workflow_id, parameters["container"], parameters["factor"]) == (
        "increase-memory",
        "main",
        2,
    )


def test_workflow_whose_parameter_is_not_known_does_not_fit():
    chosen = select(replace(OOM, facts={}), Circumstances(NO_REGRESSION), packaged())
    assert chosen.choice is None
    assert any("container" in error for one in chosen.checked for error in one.errors)


def test_workflow_that_did_not_help_here_is_not_chosen_again():
    tried = {"undo-rollout": Tries(failed=1, failed_here=True)}
    chosen = select(BAD_IMAGE, Circumstances(UNMANAGED, tried), packaged())
    assert chosen.choice is None


def test_workflow_that_failed_elsewhere_is_trusted_less():
    first = select(BAD_IMAGE, Circumstances(UNMANAGED), packaged()).choice
    later = select(BAD_IMAGE, Circumstances(UNMANAGED, {"undo-rollout": Tries(failed=2)}), packaged()).choice
    assert first is not None
    assert later is not None
    assert later.confidence == pytest.approx(first.confidence / 2, abs=0.01)


def test_nothing_is_chosen_where_there_is_nothing_to_change():
    assert select(replace(BAD_IMAGE, remediation_target=None), Circumstances(), packaged()).choice is None
    node = replace(BAD_IMAGE, remediation_target=ObjectRef("Node", "", "n1", "v1"))
    assert select(node, Circumstances(UNMANAGED), packaged()).choice is None


@pytest.mark.parametrize(
    "changed",
    [{"id": "a b"}, {"id": ""}, {"fit": 2.0}, {"targets": ()}, {"parameters": {"properties": 3}}],
)
def test_workflow_that_cannot_be_used_is_refused(changed: dict[str, object]):
    good = Workflow(
        id="mine",
        name="Mine",
        action_type="Mine",
        description=Description("does", "when"),
        causes=("*",),
        targets=("*",),
        risk="low",
        executor="workload.restart",
    )
    assert check(good) == good
    with pytest.raises(InvalidWorkflow):
        check(replace(good, **changed))
