"""The closed loop on a real cluster: deploy, break, unhealthy, investigated by itself, approved, healthy."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interfaces.incidents.conftest import SESSION, request
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Key
from stellwerk.settings import InquirySettings, Settings
from support.kube_access import token_of, with_token
from support.plane import Caller
from support.shop import Shop, open_shop

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LIMIT_S = 90.0
NOWHERE = "localhost:1/nowhere:1"


def inquiry(**chosen: Any) -> Settings:
    return replace(Settings(), inquiry=InquirySettings(**chosen))


def real(kubeconfig: Path) -> dict[str, Any]:
    return {"cluster": None, "kubeconfig": str(kubeconfig), "patience_s": 120.0}


async def result_of(api: Caller, session_id: str) -> Any:
    """Follow a session to its end; return its result."""
    async with asyncio.timeout(LIMIT_S):
        await api.call("GET", f"{SESSION}/{session_id}/stream")
    return await api.get(f"{SESSION}/{session_id}/result")


async def first_session(api: Caller) -> str:
    """Wait for the session that is opened by itself."""
    async with asyncio.timeout(LIMIT_S):
        while not (found := (await api.get("/api/v1/incident/sessions"))["sessions"]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return str(found[0]["session_id"])


async def remedied(shop: Shop, remedy_id: str) -> Any:
    return await shop.plane.control.subjects.inquiry.remedies.wait(remedy_id, LIMIT_S)


async def test_release_that_breaks_a_service_is_found_by_itself_and_rolled_back_under_approval(
    tmp_path: Path, kubeconfig: Path, namespace: str
) -> None:
    settings = inquiry(automatic=True, environments={namespace: "production"})
    async with open_shop(tmp_path, namespace=namespace, settings=settings, **real(kubeconfig)) as shop:
        assert (await shop.up("frontend")).status == 200
        asker = await shop.plane.key("incidents:admin", "services:deploy")
        approver = await shop.plane.key("incidents:approve")
        await shop.set(frontend={"image": NOWHERE})
        assert (await shop.up("frontend")).status == 500
        session_id = await first_session(asker)
        result = await result_of(asker, session_id)
        analysis = result["root_cause_analysis"]
        assert (result["investigation_outcome"], analysis["cause"]) == (
            "workflow_selected",
            "ImagePullFailed",
        )
        roots = [(one["kind"], one["name"]) for one in analysis["root_objects"]]
        assert (roots, analysis["introduced_by"]["release"]) == ([("Deployment", "frontend")], 2)
        asked = await asker.post(f"{SESSION}/{session_id}/remediate")
        assert asked["state"] == "waiting"
        await approver.post(f"/api/v1/incident/remedies/{asked['remedy_id']}/approve")
        remedy = await remedied(shop, asked["remedy_id"])
        assert (remedy.state, remedy.healthy) == ("succeeded", True), remedy.message
        live = await shop.cluster.get(Key(namespace, "Deployment", "frontend", "apps"))
        assert live is not None
        assert live["status"]["readyReplicas"] == 1


async def test_deployment_of_somebody_else_goes_back_to_its_earlier_revision(
    tmp_path: Path, kubeconfig: Path, namespace: str
) -> None:
    container = {
        "name": "main",
        "image": "localhost/busybox:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"],
    }
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": namespace},
        "spec": {
            "progressDeadlineSeconds": 30,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }
    settings = inquiry(environment="staging")
    async with open_shop(tmp_path, namespace=namespace, settings=settings, **real(kubeconfig)) as shop:
        key = Key(namespace, "Deployment", "api", "apps")
        await shop.cluster.apply(body, manager="kubectl")
        await until(shop, key, lambda status: status.get("readyReplicas") == 1)
        container["command"] = ["sh", "-c", "echo 'FATAL: cannot open /etc/api.conf' >&2; exit 3"]
        await shop.cluster.apply(body, manager="kubectl")
        await until_crashing(shop, namespace)
        api = shop.plane.main
        asked = request(resource_namespace=namespace, resource_name="api")
        session_id = (await api.post("/api/v1/incident/analyze", asked))["session_id"]
        result = await result_of(api, session_id)
        assert result["selected_workflow"]["workflow_id"] == "undo-rollout", result
        remedy = await remedied(shop, (await api.post(f"{SESSION}/{session_id}/remediate"))["remedy_id"])
        assert (remedy.state, remedy.healthy) == ("succeeded", True), remedy.message


async def test_target_that_does_not_exist_ends_in_an_honest_result(
    tmp_path: Path, kubeconfig: Path, namespace: str
) -> None:
    async with open_shop(tmp_path, namespace=namespace, **real(kubeconfig)) as shop:
        for changed in (
            {"resource_name": "nobody"},
            {"resource_kind": "Unicorn"},
            {"resource_namespace": "no-such"},
        ):
            body = request(**{"resource_namespace": namespace, **changed})
            session_id = (await shop.plane.main.post("/api/v1/incident/analyze", body))["session_id"]
            result = await result_of(shop.plane.main, session_id)
            assert result["selected_workflow"] is None
            assert result["investigation_outcome"] in {"inconclusive", "no_workflow", "not_actionable"}


async def test_namespace_that_may_not_be_read_is_unknown_and_not_broken(
    tmp_path: Path, kubeconfig: Path, cluster: KubernetesCluster, namespace: str
) -> None:
    limited = with_token(kubeconfig, await token_of(cluster, namespace), tmp_path / "limited")
    async with open_shop(tmp_path, **real(Path(limited))) as shop:
        body = request(resource_namespace="kube-system", resource_name="coredns")
        session_id = (await shop.plane.main.post("/api/v1/incident/analyze", body))["session_id"]
        result = await result_of(shop.plane.main, session_id)
        assert result["investigation_outcome"] == "inconclusive", result
        assert (result["needs_human_review"], result["selected_workflow"]) == (True, None)
        assert result["root_cause_analysis"]["missing"]


async def until(shop: Shop, key: Key, holds: Any) -> None:
    """Wait until the status of an object holds something."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            live = await shop.cluster.get(key)
            if live is not None and holds(live.get("status") or {}):
                return
            await asyncio.sleep(0.2)


async def until_crashing(shop: Shop, namespace: str) -> None:
    """Wait until a pod has been started again."""
    from stellwerk.release.clusters.kinds import Kind

    async with asyncio.timeout(LIMIT_S):
        while True:
            pods = await shop.cluster.list(Kind("Pod"), namespace=namespace)
            statuses = [one for pod in pods for one in pod["status"].get("containerStatuses") or []]
            if any(one["restartCount"] > 0 for one in statuses):
                return
            await asyncio.sleep(0.2)
