"""What is applied before what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.release.objects import Key, Manifest
from stellwerk.release.order import flattened, for_removal, in_order, rank_of
from stellwerk.release.ownership import HOOK, WAVE
from stellwerk.release.waves import check, depths_of, waves
from support.worlds import body, manifest, patient

KINDS = [
    ("v1", "Namespace"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "Ingress"),
]


def of_kind(api_version: str, kind: str, name: str = "one", **annotations: str) -> Manifest:
    names = {"wave": WAVE, "hook": HOOK}
    notes = {names[name]: value for name, value in annotations.items()}
    return manifest(body(kind, name, api_version=api_version, annotations=notes))


@patient
@given(st.permutations(KINDS))
def test_kinds_are_applied_in_one_order_whatever_the_order_of_files(kinds: list[tuple[str, str]]) -> None:
    steps = in_order(of_kind(*kind) for kind in kinds)
    assert [step[0].key.kind for step in steps] == [kind for _, kind in KINDS]
    back = for_removal(one.key for step in steps for one in step)
    assert [step[0].kind for step in back] == [kind for _, kind in reversed(KINDS)]


def test_custom_kinds_and_unknown_groups_come_last() -> None:
    assert rank_of(Key("", "Deployment", "x", "example.com")) > rank_of(Key("", "Service", "x"))
    assert rank_of(Key("", "CronJob", "x", "batch")) == rank_of(Key("", "Deployment", "x", "apps"))


def test_namespaces_and_definitions_come_before_every_wave_unless_they_name_one() -> None:
    early = [of_kind(*KINDS[0]), of_kind(*KINDS[1])]
    late = of_kind(*KINDS[0], name="late", wave="2")
    first = of_kind("v1", "ConfigMap", wave="-5")
    assert waves([late, first, *early], {}) == [tuple(early), (first,), (late,)]


def test_hooks_stand_around_their_service_and_those_of_a_removal_are_left_out() -> None:
    job = ("batch/v1", "Job")
    before, after = of_kind(*job, name="b", hook="pre-up"), of_kind(*job, name="a", hook="post-up")
    going, plain = of_kind(*job, name="g", hook="pre-down"), of_kind("v1", "ConfigMap")
    low = of_kind("v1", "ConfigMap", "low", wave="-9")
    assert waves([after, going, plain, low, before], {}) == [(before,), (low,), (plain,), (after,)]


def test_services_wait_for_those_that_they_depend_on_also_by_way_of_others() -> None:
    depends_on = {"web": ["api"], "api": ["db"], "db": []}
    assert depths_of(["web", "api", "db"], depends_on) == {"web": 2, "api": 1, "db": 0}
    assert depths_of(["web", "db"], depends_on) == {"web": 1, "db": 0}
    assert depths_of(["web"], depends_on) == {"web": 0}
    assert set(depths_of(["a", "b"], {"a": ["b"], "b": ["a"]})) == {"a", "b"}


services = st.sampled_from("abcdefg")


@patient
@given(st.sets(st.tuples(services, services)), st.sets(services, min_size=1))
def test_no_service_comes_before_one_that_it_depends_on(edges: set[tuple[str, str]], named: set[str]) -> None:
    depends_on: dict[str, list[str]] = {}
    for one, other in edges:
        if other < one:
            depends_on.setdefault(one, []).append(other)
    manifests = [
        manifest(body(name=f"{service}{wave}", annotations={WAVE: str(wave)}), service)
        for service in sorted(named)
        for wave in (1, -1)
    ]
    found = waves(manifests, depends_on)
    assert sorted(one.key for one in flattened(found)) == sorted(one.key for one in manifests)
    place = {one.key: number for number, wave in enumerate(found) for one in wave}
    for one, others in depends_on.items():
        for other in {*others} & named if one in named else ():
            last = max(number for key, number in place.items() if key.name[0] == other)
            assert last < min(number for key, number in place.items() if key.name[0] == one)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (of_kind("v1", "ConfigMap", wave="first"), "stellwerk.dev/wave is 'first'"),
        (of_kind("batch/v1", "Job", hook="after"), "stellwerk.dev/hook is 'after'"),
        (of_kind("v1", "Pod", hook="pre-up"), "Pod cannot be a hook"),
    ],
)
def test_annotations_that_mean_nothing_are_faults(one: Manifest, said: str) -> None:
    (fault,) = check([one])
    assert said in fault.message
    assert (fault.file, fault.service) == ("web/one.yaml", "web")
    assert fault.advice


def test_an_object_that_two_files_describe_is_a_fault_of_the_second() -> None:
    first, second = manifest(body()), manifest(body(), "api", "api/two.yaml")
    (fault,) = check([first, second])
    assert fault.file == "api/two.yaml"
    assert "shop/ConfigMap/one is described in web/one.yaml as well" in fault.message
