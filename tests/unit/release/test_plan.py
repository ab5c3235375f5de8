"""What an operation does to which object; above all, what it never touches."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.release.inventory import Entry, Inventory
from stellwerk.release.objects import Key, Manifest
from stellwerk.release.ownership import HOOK, KEEP, Identity, owner_of
from stellwerk.release.plan import (
    NOT_VISIBLE,
    OBSTACLES,
    WRITES,
    Action,
    Known,
    Live,
    Scope,
    Step,
    Trial,
    noted,
    plan,
    to_apply,
    to_try,
)
from support.worlds import THEM, US, body, live, manifest, patient

WEB = Scope(US, frozenset({"web"}))


def entry_of(one: Manifest, **rest: Any) -> Entry:
    return Entry(one.service, one.api_version, one.hash, "u-1", **rest)


def owned(*manifests: Manifest, **rest: Any) -> Inventory:
    return Inventory({one.key: entry_of(one, **rest) for one in manifests}, 1)


def only(wanted: list[Manifest], known: Known, scope: Scope = WEB) -> Step:
    (step,) = plan(wanted, known, scope, {}).steps
    return step


def test_what_is_not_there_is_created_and_tried_only_when_asked() -> None:
    one = manifest(body())
    known = Known({one.key: None}, Inventory())
    assert only([one], known).action is Action.CREATE
    assert to_try([one], known, WEB, new=False) == []
    assert to_try([one], known, WEB, new=True) == [one]


def test_what_was_applied_and_is_still_so_needs_no_dry_run() -> None:
    one = manifest(body(data={"a": "1"}))
    known = Known({one.key: live(one.body)}, owned(one))
    assert to_try([one], known, WEB, new=True) == []
    assert only([one], known).action is Action.UNCHANGED


def test_what_somebody_changed_is_tried_and_its_fields_are_listed() -> None:
    one = manifest(body(data={"a": "1"}))
    drifted = live(body(data={"a": "2"}))
    known = Known({one.key: drifted}, owned(one), {one.key: Trial(live(one.body))})
    assert to_try([one], known, WEB, new=False) == [one]
    step = only([one], known)
    assert step.action is Action.UPDATE
    assert [(change.path, change.old, change.new) for change in step.changes] == [("data.a", "2", "1")]
    same = Known({one.key: drifted}, owned(one), {one.key: Trial(drifted)})
    assert only([one], same).action is Action.UNCHANGED


def test_what_exists_and_is_not_ours_is_a_conflict_unless_forced() -> None:
    one = manifest(body())
    for whose, said in ((None, "not ours"), (THEM, "application bank/default")):
        known = Known({one.key: live(one.body, whose)}, Inventory())
        step = only([one], known)
        assert step.action is Action.CONFLICT
        assert said in step.message
        assert to_try([one], known, WEB, new=True) == []
        forced = Scope(US, frozenset({"web"}), force=True)
        assert only([one], known, forced).action is Action.UPDATE


def test_an_object_of_a_service_that_is_not_named_is_a_conflict_even_when_forced() -> None:
    one = manifest(body())
    known = Known({one.key: live(one.body, service="api")}, Inventory())
    forced = Scope(US, frozenset({"web"}), force=True)
    step = only([one], known, forced)
    assert (step.action, step.owner) == (Action.CONFLICT, "api")
    both = Scope(US, frozenset({"web", "api"}))
    assert only([one], known, both).action is Action.UPDATE


def test_fields_of_others_are_named_and_taken_over_only_by_force() -> None:
    one = manifest(body(data={"a": "1"}))
    trial = Trial(live(one.body), conflicts=(("hpa", ".data.a"),))
    known = Known({one.key: live(body(data={"a": "2"}))}, owned(one), {one.key: trial})
    step = only([one], known)
    assert (step.action, step.owner, step.message) == (Action.CONFLICT, "hpa", ".data.a is set by hpa")
    forced = only([one], known, Scope(US, frozenset({"web"}), force=True))
    assert (forced.action, forced.owner) == (Action.UPDATE, "hpa")


def test_what_the_cluster_would_not_take_stands_in_the_way() -> None:
    one = manifest(body())
    known = Known({one.key: None}, Inventory(), {one.key: Trial(refusal="field is immutable")})
    found = plan([one], known, WEB, {})
    assert [step.message for step in found.obstacles] == ["field is immutable"]
    missing = Known({one.key: None}, Inventory(), missing_kinds=frozenset({("", "ConfigMap")}))
    assert only([one], missing).action is Action.REFUSED


def test_what_needs_a_namespace_or_kind_of_this_operation_is_unverified() -> None:
    space = manifest(body("Namespace", "shop", namespace=""))
    names = {"group": "example.com", "names": {"kind": "Toy"}}
    kind = manifest(
        body("CustomResourceDefinition", "t", namespace="", api_version="apiextensions.k8s.io/v1", spec=names)
    )
    inside, toy = manifest(body()), manifest(body("Toy", api_version="example.com/v1", namespace="there"))
    wanted = [toy, inside, kind, space]
    missing = frozenset({("example.com", "Toy")})
    known = Known(dict.fromkeys([one.key for one in wanted]), Inventory(), missing_kinds=missing)
    found = {step.key: step.action for step in plan(wanted, known, WEB, {}).steps}
    assert found == {
        space.key: Action.CREATE,
        kind.key: Action.CREATE,
        inside.key: Action.UNVERIFIED,
        toy.key: Action.UNVERIFIED,
    }
    assert {one.key for one in to_try(wanted, known, WEB, new=True)} == {space.key, kind.key}


def test_a_namespace_that_is_being_deleted_stops_everything_in_it() -> None:
    space = Key("", "Namespace", "shop")
    going = body("Namespace", "shop", namespace="")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    one = manifest(body())
    step = only([one], Known({one.key: None, space: going}, Inventory()))
    assert (step.action, step.message) == (Action.REFUSED, "namespace shop is being deleted")


def test_a_namespace_of_somebody_else_is_shared_not_marked_and_never_removed() -> None:
    space = manifest(body("Namespace", "shop", namespace=""))
    theirs = Known(
        {space.key: live(space.body, None)}, Inventory(), {space.key: Trial(live(space.body, None))}
    )
    step = only([space], theirs)
    assert step.adopted
    assert owner_of(to_apply(space, theirs, WEB)) is None
    later = Known({space.key: live(space.body, None)}, owned(space, adopted=True))
    everything = Scope(US, frozenset({"web"}), namespaces=True)
    assert only([], later, everything).action is Action.KEEP


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("PersistentVolumeClaim", "volumes"),
        ("Namespace", "namespaces"),
        ("CustomResourceDefinition", "definitions"),
    ],
)
def test_what_holds_data_is_removed_only_when_asked_for(kind: str, flag: str) -> None:
    version = "apiextensions.k8s.io/v1" if kind == "CustomResourceDefinition" else "v1"
    one = manifest(body(kind, api_version=version))
    known = Known({one.key: live(one.body)}, owned(one))
    assert only([], known).action is Action.KEEP
    asked = Scope(US, frozenset({"web"}), **{flag: True})
    assert only([], known, asked).action is Action.DELETE


def test_what_cannot_be_read_is_known_by_what_was_applied() -> None:
    one = manifest(body("Secret", data={"a": "eA=="}))
    assert only([one], Known({one.key: NOT_VISIBLE}, owned(one))).action is Action.UNCHANGED
    step = only([one], Known({one.key: NOT_VISIBLE}, Inventory()))
    assert (step.action, step.message, step.changes) == (Action.UPDATE, "not visible", ())
    gone = only([], Known({one.key: NOT_VISIBLE}, owned(one)))
    assert (gone.action, gone.uid) == (Action.DELETE, "u-1")
    unknown = Inventory({one.key: Entry("web", "v1")}, 1)
    assert only([], Known({one.key: NOT_VISIBLE}, unknown)).action is Action.KEEP


def test_what_another_service_describes_now_is_not_pruned() -> None:
    one = manifest(body())
    known = Known({one.key: live(one.body)}, owned(one), elsewhere=frozenset({one.key}))
    assert only([], known).action is Action.KEEP


def test_what_is_gone_or_became_somebody_elses_is_forgotten() -> None:
    gone, theirs = manifest(body(name="gone")), manifest(body(name="theirs"))
    known = Known({gone.key: None, theirs.key: live(theirs.body, None)}, owned(gone, theirs))
    found = plan([], known, WEB, {})
    assert (found.steps, set(found.forgotten)) == ((), {gone.key, theirs.key})


def test_hooks_run_again_and_are_not_tried() -> None:
    job = manifest(body("Job", api_version="batch/v1", annotations={HOOK: "pre-up"}))
    known = Known({job.key: live(job.body)}, owned(job))
    assert to_try([job], known, WEB, new=True) == []
    assert only([job], known).message == "runs again"


# ---- whatever the world is like

NAMES = ["a", "b", "c"]
KINDS = ["ConfigMap", "Secret", "PersistentVolumeClaim", "Service"]
SERVICES = ["web", "api", "db"]
bodies = st.builds(
    lambda kind, name, value, keep: body(
        kind, name, data={"v": value}, annotations={KEEP: "true"} if keep else None
    ),
    st.sampled_from(KINDS),
    st.sampled_from(NAMES),
    st.sampled_from("xy"),
    st.booleans(),
)
described = st.builds(manifest, bodies, st.sampled_from(SERVICES))
owners = st.sampled_from([None, THEM, US, US, US])
there = st.builds(live, bodies, owners, st.sampled_from(SERVICES))


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Manifest], Known, Scope]:
    scope = Scope(
        US,
        frozenset(draw(st.sets(st.sampled_from(SERVICES), min_size=1))),
        force=draw(st.booleans()),
        prune=draw(st.booleans()),
        volumes=draw(st.booleans()),
    )
    listed = {one.key: one for one in draw(st.lists(described, max_size=8)) if one.service in scope.services}
    objects = {manifest(one).key: one for one in draw(st.lists(there, max_size=8))}
    known = {one.key: one for one in draw(st.lists(described, max_size=8))}
    inventory = Inventory({key: entry_of(one) for key, one in known.items()}, 1)
    keys = listed.keys() | objects.keys() | known.keys()
    all_live: dict[Key, Live] = {key: objects.get(key) for key in keys}
    return list(listed.values()), Known(all_live, inventory), scope


def carried_out(wanted: list[Manifest], known: Known, scope: Scope) -> tuple[Known, list[Step]]:
    """Do what the plan says, as a cluster would, and return what is known then."""
    tried = with_trials(wanted, known, scope)
    found = plan(wanted, tried, scope, {})
    if found.obstacles:
        return known, []
    after: dict[Key, Live] = dict(known.live)
    inventory = noted(found, tried)
    for step in found.steps:
        if step.action in WRITES and step.manifest:
            after[step.key] = live(to_apply(step.manifest, known, scope), None)
            inventory = inventory.applied([(step.manifest, "u-1")])
        elif step.action is Action.DELETE:
            after[step.key] = None
            inventory = inventory.without([step.key])
    return Known(after, inventory.without(found.forgotten)), [*found.steps]


def with_trials(wanted: list[Manifest], known: Known, scope: Scope) -> Known:
    tried: Mapping[Key, Trial] = {
        one.key: Trial(live(to_apply(one, known, scope), None))
        for one in to_try(wanted, known, scope, new=True)
    }
    return Known(known.live, known.inventory, tried)


def belongs_to(one: Live, identity: Identity) -> bool:
    owner = owner_of(one) if isinstance(one, dict) else None
    return owner is not None and owner.identity == identity


@patient
@given(situations())
def test_nothing_is_touched_that_is_not_ours_or_not_named(
    situation: tuple[list[Manifest], Known, Scope],
) -> None:
    wanted, known, scope = situation
    for step in plan(wanted, with_trials(wanted, known, scope), scope, {}).steps:
        before = known.live[step.key]
        assert step.service in scope.services
        if step.action in WRITES and isinstance(before, dict):
            owner = owner_of(before)
            assert scope.force or belongs_to(before, US) or step.key in known.inventory.entries
            assert owner is None or owner.identity != US or owner.service in scope.services
        if step.action is Action.DELETE:
            assert belongs_to(before, US)
            assert known.inventory.entries[step.key].service in scope.services
            assert scope.prune
            assert isinstance(before, dict)
            assert "annotations" not in before["metadata"]
            assert scope.volumes or step.key.kind != "PersistentVolumeClaim"


@patient
@given(situations())
def test_every_object_that_is_described_has_one_step(situation: tuple[list[Manifest], Known, Scope]) -> None:
    wanted, known, scope = situation
    found = plan(wanted, with_trials(wanted, known, scope), scope, {})
    applied = [step.key for wave in found.waves for step in wave]
    assert sorted(applied) == sorted(one.key for one in wanted)
    assert not set(applied) & {step.key for step in found.steps if step.manifest is None}


@patient
@given(situations())
def test_the_same_request_again_changes_nothing(situation: tuple[list[Manifest], Known, Scope]) -> None:
    wanted, known, scope = situation
    after, steps = carried_out(wanted, known, scope)
    if not steps:
        return
    again = plan(wanted, with_trials(wanted, after, scope), scope, {})
    assert {step.action for step in again.steps} <= {Action.UNCHANGED, Action.KEEP}
    assert to_try(wanted, after, scope, new=True) == []
    assert again.forgotten == ()


@patient
@given(situations())
def test_a_plan_with_an_obstacle_says_whose_it_is_or_why(
    situation: tuple[list[Manifest], Known, Scope],
) -> None:
    wanted, known, scope = situation
    for step in plan(wanted, known, scope, {}).steps:
        assert step.action not in OBSTACLES or step.message
