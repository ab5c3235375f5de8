"""Collecting keeps within its budget, says what it could not read, and keeps no secret."""

from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from bench.scenarios.veiled import VeiledCluster

from stellwerk.inquiry.evidence.collecting import collect
from stellwerk.inquiry.linking.concluding import conclude
from stellwerk.inquiry.model import Budget, Bundle, ObjectRef, Outcome, Target
from stellwerk.release.clusters.errors import ClusterUnavailable
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.sandbox.sandbox import Sandbox
from stellwerk.release.objects import Body, Key
from support.clock import FakeClock
from support.kube import MANAGER, deployment, until_health

WEB = Target(object=ObjectRef("Deployment", "shop", "web"))


@pytest.fixture
async def cluster() -> AsyncIterator[Sandbox]:
    """A sandbox with one workload that uses a Secret, and one that has nothing to do with it."""
    opened = Sandbox(start_s=0.01)
    await opened.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, manager=MANAGER
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login", "namespace": "shop"},
        "data": {"password": "aHVudGVyMjI="},
    }
    await opened.apply(secret, manager=MANAGER)
    source = {"secretKeyRef": {"name": "login", "key": "password"}}
    web = deployment(
        "shop",
        "web",
        env=[{"name": "PASS", "valueFrom": source}, {"name": "API_TOKEN", "value": "abcdef123456"}],
    )
    for one in (web, deployment("shop", "other")):
        await opened.apply(one, manager=MANAGER)
        await until_health(opened, one, lambda health: health.status == "healthy")
    yield opened
    await opened.close()


async def seen(cluster: Sandbox | VeiledCluster, **budget: int) -> Bundle:
    return await collect(cluster, WEB, budget=Budget(**budget), clock=FakeClock())  # type: ignore[arg-type]


def kept(bundle: Bundle) -> set[tuple[str, str]]:
    return {(body["kind"], body["metadata"]["name"].partition("-")[0]) for body in bundle.objects}


async def test_what_is_around_the_target_is_kept_and_the_rest_is_not(cluster: Sandbox) -> None:
    found = kept(await seen(cluster))

    assert {("Deployment", "web"), ("ReplicaSet", "web"), ("Pod", "web"), ("Secret", "login")} <= found
    assert not {("Deployment", "other"), ("Pod", "other")} & found


async def test_values_of_secrets_are_never_kept(cluster: Sandbox) -> None:
    plain = await seen(cluster)
    hashed = await collect(cluster, WEB, budget=Budget(), clock=FakeClock(), sealing_key=b"k")

    assert [body["data"] for body in plain.objects if body["kind"] == "Secret"] == [{"password": ""}]
    (values,) = [body["data"] for body in hashed.objects if body["kind"] == "Secret"]
    assert len(values["password"]) == 16
    assert "aHVudGVyMjI" not in str(plain.objects) + str(hashed.objects)
    assert "abcdef123456" not in str(plain.objects)


async def test_a_spent_budget_is_told_as_a_gap(cluster: Sandbox) -> None:
    found = await seen(cluster, calls=3)

    assert found.spent.calls == 3
    assert {gap.why for gap in found.gaps} == {"budget"}


async def test_the_nearest_is_kept_where_not_everything_fits(cluster: Sandbox) -> None:
    found = await seen(cluster, size_bytes=3_000)

    assert found.spent.size_bytes <= 3_000
    assert ("Deployment", "web") in kept(found)
    assert any(gap.why == "budget" for gap in found.gaps)


async def test_what_may_not_be_read_is_a_gap_and_no_error(cluster: Sandbox) -> None:
    found = await seen(VeiledCluster(cluster, ["Secret", "Event"]))

    assert {(gap.what, gap.why.partition(":")[0]) for gap in found.gaps} == {
        ("Event in shop", "forbidden"),
        ("Secret/login in shop", "forbidden"),
    }


class Away(VeiledCluster):
    """A cluster that cannot be reached."""

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        raise ClusterUnavailable("no route")

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        raise ClusterUnavailable("no route")


async def test_a_cluster_that_is_gone_is_an_error(cluster: Sandbox) -> None:
    away = Away(cluster, [])

    with pytest.raises(ClusterUnavailable):
        await seen(away)


async def test_what_is_well_in_the_sandbox_is_not_accused(cluster: Sandbox) -> None:
    assert conclude(await seen(cluster)).outcome is Outcome.NOT_ACTIONABLE


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("image-pull", "ImagePullFailed"), ("crash", "ProgramCrashed"), ("oom", "OomKilled")],
)
async def test_what_the_sandbox_plays_is_found(cluster: Sandbox, fault: str, cause: str) -> None:
    broken = deployment("shop", "web", image="shop:2")
    notes = {"sandbox.stellwerk.dev/fail": fault, "sandbox.stellwerk.dev/log": "fatal: it is broken"}
    broken["spec"]["template"]["metadata"]["annotations"] = notes
    await cluster.apply(broken, manager=MANAGER, force=True)
    await until_health(cluster, broken, lambda health: health.reason is not None and health.reason.certain)

    found = conclude(await seen(cluster))

    assert (found.cause, [one.name for one in found.root_objects]) == (cause, ["web"])
    assert found.facts["regression"] == "true"
    assert found.introduced_by is not None
    assert "→ shop:2" in found.introduced_by.what
