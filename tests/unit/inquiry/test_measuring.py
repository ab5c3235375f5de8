"""Metrics are asked for in few bounded questions, and a Prometheus that fails ends no investigation."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from stellwerk.inquiry.evidence.collecting import collect
from stellwerk.inquiry.linking.concluding import conclude
from stellwerk.inquiry.metrics.prometheus import MOST_BYTES, Prometheus
from stellwerk.inquiry.model import Budget, Bundle, ObjectRef, Outcome, Target
from stellwerk.release.clusters.sandbox.sandbox import Sandbox
from support.clock import FakeClock
from support.kube import MANAGER, deployment, until_health
from support.prometheus import fake_prometheus, matrix

WEB = Target(object=ObjectRef("Deployment", "shop", "web"))
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
async def cluster() -> AsyncIterator[Sandbox]:
    """A sandbox with one workload that is well."""
    opened = Sandbox(start_s=0.01)
    for one in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        web_ := deployment("shop", "web"),
    ):
        await opened.apply(one, manager=MANAGER)
    await until_health(opened, web_, lambda health: health.status == "healthy")
    yield opened
    await opened.close()


async def seen(cluster: Sandbox, url: str, token_file: Path | None = None) -> Bundle:
    prometheus = Prometheus(url, token_file=token_file)
    try:
        return await collect(cluster, WEB, budget=Budget(), clock=FakeClock(), metrics=prometheus)
    finally:
        await prometheus.close()


def labels(request: web.Request) -> Mapping[str, str]:
    """Name the first pod that a question names."""
    name = request.query["query"].partition('pod=~"')[2].partition('"')[0].split("|")[0]
    return {"namespace": "shop", "pod": name, "container": "main"}


async def test_four_bounded_questions_about_the_pods_become_evidence(cluster: Sandbox, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    other = {"namespace": "shop", "pod": "somebody-else", "container": "main"}

    def answer(request: web.Request) -> web.Response:
        return matrix((labels(request), [(10.0, "0.5"), (20.0, "NaN")]), (other, [(10.0, "1")]))

    async with fake_prometheus(answer) as fake:
        found = await seen(cluster, fake.url, token)

    assert [(one.measure, one.points) for one in found.metrics] == [
        (measure, ((10_000_000, 0.5),))
        for measure in ("cpu_throttled", "memory_bytes", "restarts", "failed_share")
    ]
    assert {one.pod.name for one in found.metrics} == {
        body["metadata"]["name"] for body in found.objects if body["kind"] == "Pod"
    }
    assert fake.tokens == ["Bearer t0ken"] * 4
    assert {int(one["end"]) - int(one["start"]) for one in fake.asked} == {1_800}
    assert {one["step"] for one in fake.asked} == {"30"}
    assert all('namespace=~"shop"' in one["query"] for one in fake.asked)
    assert not found.gaps


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: web.Response(status=503, text="<html>"), "status 503, and no answer of Prometheus' API"),
        (lambda _: web.json_response({"status": "error", "error": "too heavy"}, status=422), "too heavy"),
        (lambda _: web.Response(status=302, headers={"Location": NOWHERE}), "status 302"),
        (lambda _: web.Response(body=b" " * (MOST_BYTES + 1)), "an answer of more than"),
        (lambda _: web.json_response({"status": "success", "data": {"result": [1]}}), "no answer of"),
        (lambda _: matrix(), "it has none of these pods"),
    ],
)
async def test_prometheus_that_gives_no_usable_answer_is_said_and_ends_nothing(
    cluster: Sandbox, answer, told: str
):
    async with fake_prometheus(answer) as fake:
        found = await seen(cluster, fake.url)

    (gap,) = found.gaps
    assert (gap.what, told in gap.why) == ("metrics of Prometheus", True), gap
    concluded = conclude(found)
    assert concluded.outcome is Outcome.NOT_ACTIONABLE
    assert told in concluded.missing[0]


async def test_prometheus_that_is_away_is_said_without_its_password(cluster: Sandbox):
    found = await seen(cluster, "http://reader:hunter2@127.0.0.1:1")

    (gap,) = found.gaps
    assert gap.why.startswith("unavailable: it cannot be reached")
    assert "hunter2" not in gap.why
    assert conclude(found).outcome is Outcome.NOT_ACTIONABLE


async def test_token_that_cannot_be_read_is_said(cluster: Sandbox, tmp_path: Path):
    found = await seen(cluster, NOWHERE, tmp_path / "none")

    assert "No such file" in found.gaps[0].why
