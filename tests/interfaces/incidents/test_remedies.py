"""Remedies over a whole control plane on the sandbox: tried out, approved, carried out, verified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from interfaces.incidents.conftest import SESSION, request
from stellwerk.agent.settings import AgentSettings
from stellwerk.inquiry.model import Change, Conclusion, ObjectRef
from stellwerk.inquiry.remedies.executors.executor import Order
from stellwerk.inquiry.remedies.executors.patching import Patching
from stellwerk.inquiry.remedies.executors.releasing import Releasing
from stellwerk.release.objects import Key
from stellwerk.settings import InquirySettings, ServerSettings, Settings
from support.agent_lab import Scripted, running
from support.inquiry import BAD_IMAGE, ScriptedDetective
from support.node import Node, joined
from support.plane import Caller
from support.shop import Shop, open_shop

FRONTEND = ObjectRef("Deployment", "default", "frontend", "apps/v1")
KEY = Key("default", "Deployment", "frontend", "apps")
CAUSE = changed(BAD_IMAGE, root_objects=(FRONTEND,), remediation_target=FRONTEND)
BY_RELEASE = changed(CAUSE, introduced_by=Change(object=FRONTEND, at=1, by="ci", what="broken", release=2))
BROKEN = {"sandbox.stellwerk.dev/fail": "image-pull"}
LIMIT_S = 20.0


@asynccontextmanager
async def broken_shop(
    folder: Path, conclusion: Conclusion = BY_RELEASE, server: ServerSettings | None = None, **inquiry: Any
) -> AsyncIterator[Shop]:
    """Deploy a release that is well, then one that is not."""
    chosen = {"environment": "staging", "verify_s": 10.0, **inquiry}
    settings = replace(Settings(), inquiry=InquirySettings(**chosen), server=server or Settings().server)
    async with open_shop(folder, settings=settings, detective=ScriptedDetective(conclusion)) as shop:
        assert (await shop.up("frontend")).status == 200
        await shop.set(frontend={"podAnnotations": BROKEN})
        assert (await shop.up("frontend")).status == 500
        yield shop


async def investigated(api: Caller) -> str:
    """Investigate the frontend; return the session."""
    body = request(resource_namespace="default")
    session_id = (await api.post("/api/v1/incident/analyze", body))["session_id"]
    async with asyncio.timeout(LIMIT_S):
        async with api.session.get(f"{api.url}{SESSION}/{session_id}/stream", headers=api.headers) as stream:
            await stream.read()  # it ends with the session
    return str(session_id)


async def ended(shop: Shop, remedy_id: str) -> Any:
    """Wait for the end of a remedy; return it as it is shown."""
    await shop.plane.control.subjects.inquiry.remedies.wait(remedy_id, LIMIT_S)
    return await shop.plane.main.get(f"/api/v1/incident/remedies/{remedy_id}")


async def generation(shop: Shop) -> int:
    body = await shop.cluster.get(KEY)
    assert body is not None
    return int(body["metadata"]["generation"])


async def test_rollback_that_was_chosen_is_carried_out_and_the_health_returns(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        api = shop.plane.main
        session_id = await investigated(api)
        result = await api.get(f"{SESSION}/{session_id}/result")
        assert result["investigation_outcome"] == "workflow_selected"
        assert (result["actionable"], result["needs_human_review"]) == (True, False)
        workflow = result["selected_workflow"]
        assert (workflow["workflow_id"], workflow["action_type"]) == (
            "rollback-release",
            "RollbackDeployment",
        )
        asked = await api.call("POST", f"{SESSION}/{session_id}/remediate")
        assert (asked.status, asked.body["state"], asked.body["environment"]) == (202, "approved", "staging")
        remedy = await ended(shop, asked.body["remedy_id"])
        assert (remedy["state"], remedy["healthy"]) == ("succeeded", True), remedy
        releases = (await shop.api.get("/api/releases"))["releases"]
        assert (releases[0]["kind"], releases[0]["operation"]) == ("rollback", remedy["operation"])
        kinds = [one["kind"] for one in (await api.get(f"/events?task={session_id}"))["events"]]
        assert [kind for kind in kinds if kind.startswith("incident.")] == [
            "incident.remedy.requested",
            "incident.remedy.started",
            "incident.remedy.carried_out",
            "incident.remedy.finished",
        ]


async def test_dry_run_says_what_would_be_done_and_changes_nothing(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        api = shop.plane.main
        session_id = await investigated(api)
        before = await shop.versions()
        planned = await api.call("POST", f"{SESSION}/{session_id}/remediate", {"dry_run": True})
        assert (planned.status, planned.body["dry_run"], planned.body["environment"]) == (
            200,
            True,
            "staging",
        )
        assert any("Deployment/frontend" in step for step in planned.body["steps"])
        assert await shop.versions() == before
        assert (await api.get(f"{SESSION}/{session_id}/remedies"))["total"] == 0


async def test_production_is_refused_where_nobody_could_approve(tmp_path: Path):
    async with broken_shop(tmp_path, environments={"default": "production"}) as shop:
        api = shop.plane.main
        session_id = await investigated(api)
        before = await generation(shop)
        answer = await api.call("POST", f"{SESSION}/{session_id}/remediate")
        assert (answer.status, answer.body["code"]) == (409, "approval_impossible")
        assert await generation(shop) == before
        assert (await api.get(f"{SESSION}/{session_id}/remedies"))["total"] == 0


async def test_production_waits_for_a_second_principal_who_proves_who_they_are(tmp_path: Path):
    async with broken_shop(tmp_path, environment="production") as shop:
        api = shop.plane.main
        asker = await shop.plane.key("incidents:admin", "services:deploy")
        approver = await shop.plane.key("incidents:approve")
        session_id = await investigated(asker)
        asked = await asker.post(f"{SESSION}/{session_id}/remediate")
        assert (asked["state"], asked["needs_approval"]) == ("waiting", "the environment is production")
        place = f"/api/v1/incident/remedies/{asked['remedy_id']}"
        for nobody in (asker, api):
            refused = await nobody.call("POST", place + "/approve")
            assert (refused.status, refused.body["code"]) == (403, "may_not_approve")
        approved = await approver.post(place + "/approve")
        assert approved["state"] == "approved"
        remedy = await ended(shop, asked["remedy_id"])
        assert (remedy["state"], remedy["decided_by"] != remedy["requested_by"]) == ("succeeded", True)
        again = await approver.call("POST", place + "/reject")
        assert (again.status, again.body["code"]) == (409, "already_decided")


async def test_rejected_remedy_changes_nothing(tmp_path: Path):
    async with broken_shop(tmp_path, environment="production") as shop:
        asker = await shop.plane.key("incidents:admin", "services:deploy")
        approver = await shop.plane.key("incidents:approve")
        session_id = await investigated(asker)
        before = await generation(shop)
        asked = await asker.post(f"{SESSION}/{session_id}/remediate")
        place = f"/api/v1/incident/remedies/{asked['remedy_id']}"
        assert (await approver.post(place + "/reject"))["state"] == "rejected"
        assert (await ended(shop, asked["remedy_id"]))["started_at"] is None
        assert await generation(shop) == before


async def test_caller_needs_the_right_that_the_executor_needs(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        asker = await shop.plane.key("incidents:admin")
        session_id = await investigated(asker)
        answer = await asker.call("POST", f"{SESSION}/{session_id}/remediate")
        assert (answer.status, answer.body["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"workflow_id": "nothing"}, 404, "workflow_not_found"),
        ({"workflow_id": "uncordon-node"}, 409, "does_not_fit"),
        ({"workflow_id": "patch-image", "parameters": {"image": "a b; rm"}}, 409, "does_not_fit"),
        ({"workflow_id": "patch-image", "parameters": {"image": "x", "more": 1}}, 409, "does_not_fit"),
        ({"dry_run": "perhaps"}, 400, "invalid"),
        ({"environment": "development"}, 400, "invalid"),
    ],
)
async def test_what_does_not_fit_is_refused(tmp_path: Path, body: Any, status: int, code: str):
    async with broken_shop(tmp_path) as shop:
        session_id = await investigated(shop.plane.main)
        answer = await shop.plane.main.call("POST", f"{SESSION}/{session_id}/remediate", body)
        assert (answer.status, answer.body["code"]) == (status, code), answer


async def test_remedy_that_does_not_bring_the_health_back_fails_and_is_not_chosen_again(tmp_path: Path):
    conclusion = changed(CAUSE, cause="ConfigurationChanged")
    async with broken_shop(tmp_path, conclusion, verify_s=2.0) as shop:
        api = shop.plane.main
        session_id = await investigated(api)
        asked = await api.post(f"{SESSION}/{session_id}/remediate")
        assert asked["workflow"]["workflow_id"] == "restart-workload"
        remedy = await ended(shop, asked["remedy_id"])
        assert (remedy["state"], remedy["healthy"]) == ("failed", False)
        result = await api.get(f"{SESSION}/{await investigated(api)}/result")
        assert result["selected_workflow"] is None
        attempts = result["validation_attempts_history"]
        told = [error for one in attempts for error in one["errors"]]
        assert "it was tried on this target lately, and did not help" in told


async def test_order_that_is_given_again_changes_nothing_twice(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        releasing = shop.plane.control.subjects.releasing
        rollback = Order("rem_1", "release.rollback", FRONTEND, {}, "local", "broken", 0)
        first, again = [await Releasing(releasing.deployer).perform(rollback) for _ in range(2)]
        assert (first, again.worked) == (again, True)
        assert len((await shop.api.get("/api/releases"))["releases"]) == 3
        restart = Order("rem_2", "workload.restart", FRONTEND, {}, "local", "stale", 0)
        await Patching(releasing.cluster).perform(restart)
        before = await generation(shop)
        assert (await Patching(releasing.cluster).perform(restart)).message == "it was changed already"
        assert await generation(shop) == before


async def test_one_remedy_of_a_target_at_a_time(tmp_path: Path):
    async with broken_shop(tmp_path, environment="production") as shop:
        asker = await shop.plane.key("incidents:admin", "services:deploy")
        await shop.plane.key("incidents:approve")
        session_id = await investigated(asker)
        await asker.post(f"{SESSION}/{session_id}/remediate")
        answer = await asker.call("POST", f"{SESSION}/{session_id}/remediate")
        assert (answer.status, answer.body["code"]) == (409, "busy")


async def test_workflows_can_be_added_replaced_and_removed(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        api, place = shop.plane.main, "/api/v1/incident/workflows/rollback-release"
        packaged = await api.get(place)
        mine = {**packaged, "name": "Ours", "fit": 0.5}
        assert await api.put(place, mine) == mine
        assert await api.get(place) == mine
        assert (await api.call("PUT", place, {**mine, "id": "other"})).status == 422
        assert (await api.call("PUT", place, {**mine, "executor": "shell"})).status == 400
        await api.delete(place)
        assert await api.get(place) == packaged
        assert (await api.call("DELETE", place)).status == 404


async def test_unhealthy_service_opens_one_investigation_by_itself(tmp_path: Path):
    async with broken_shop(tmp_path, automatic=True) as shop:
        api = shop.plane.main
        async with asyncio.timeout(LIMIT_S):
            while not (found := (await api.get("/api/v1/incident/sessions"))["sessions"]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [(one["automatic"], one["resource_name"]) for one in found] == [(True, "frontend")]
        events = (await api.get("/events?kind=deploy.investigation.opened"))["events"]
        assert [one["task"] for one in events] == [found[0]["session_id"]]


async def test_parameter_that_broke_a_service_is_changed_back_and_the_health_returns(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        api = shop.plane.main
        session_id = await investigated(api)
        values = {"services": {"frontend": {"podAnnotations": {"note": "well"}}}}
        values["services"]["frontend"]["podAnnotations"] |= dict.fromkeys(BROKEN)
        asked = {"workflow_id": "change-parameters", "parameters": {"values": values}}
        begun = await api.post(f"{SESSION}/{session_id}/remediate", asked)
        remedy = await ended(shop, begun["remedy_id"])
        assert (remedy["state"], remedy["healthy"]) == ("succeeded", True), remedy
        kinds = [one["kind"] for one in (await shop.api.get("/api/releases"))["releases"]]
        assert kinds[0] == "update"


async def test_traffic_is_shifted_really_and_the_remedy_ends_when_the_target_is_well_again(tmp_path: Path):
    async with broken_shop(tmp_path, verify_s=15.0) as shop:
        api = shop.plane.main
        async with joined(Node(api), Node(api, version="2.0.0")):
            session_id = await investigated(api)
            weights = {"1.0.0": 100, "2.0.0": 0}
            asked = {"workflow_id": "shift-traffic", "parameters": {"agent": "hello", "weights": weights}}
            begun = await api.post(f"{SESSION}/{session_id}/remediate", asked)
            # What its callers did to it is over with their traffic; here the next release stands for that.
            await shop.set(frontend={"podAnnotations": {}})
            assert (await shop.up("frontend")).status == 200
            remedy = await ended(shop, begun["remedy_id"])
            assert (remedy["state"], remedy["healthy"]) == ("succeeded", True), remedy
            shown = await api.get("/api/v1/traffic/reasoners/hello/versions")
            assert {one["version"]: one["traffic_weight"] for one in shown["versions"]} == weights


async def test_task_for_an_agent_that_is_not_known_is_refused(tmp_path: Path):
    async with broken_shop(tmp_path, approve_risk="high", approve_environments=()) as shop:
        asker = await shop.plane.key("incidents:admin", "tasks:submit")
        await shop.plane.key("incidents:approve")
        session_id = await investigated(asker)
        asked = {"workflow_id": "agent-task", "parameters": {"agent": "nobody", "type": "docker.run"}}
        answer = await asker.call("POST", f"{SESSION}/{session_id}/remediate", {**asked, "dry_run": True})
        assert (answer.status, answer.body["code"]) == (409, "unknown_agent"), answer


class Mending(Scripted):
    """An executor of a real agent whose task brings the shop back."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self._shop = shop

    async def run(self, job: Any, report: Any, cancelled: asyncio.Event) -> Any:
        await self._shop.set(frontend={"podAnnotations": {}})
        assert (await self._shop.up("frontend")).status == 200
        return await super().run(job, report, cancelled)


async def test_task_of_an_agent_is_done_by_it_and_the_health_returns(tmp_path: Path):
    server = replace(Settings().server, tls_port=0)
    async with broken_shop(tmp_path / "plane", server=server, verify_s=15.0) as shop:
        asker = await shop.plane.key("incidents:admin", "tasks:submit")
        approver = await shop.plane.key("incidents:approve")
        token = await shop.plane.main.post("/api/v1/admin/agent-tokens", {})
        secure = next(url for url in shop.plane.control.listeners.values() if url.startswith("https:"))
        settings = AgentSettings(
            server=secure,
            data_dir=tmp_path / "agent",
            name="edge-1",
            version="1.0.0",
            token=token["token"],
            ca_sha256=(token["caSha256"],),
        )
        mending = Mending(shop)
        async with running(settings, mending):
            session_id = await investigated(asker)
            await online(shop.plane.main)
            asked = {"workflow_id": "agent-task", "parameters": {"agent": "edge-1", "type": "test.run"}}
            begun = await asker.post(f"{SESSION}/{session_id}/remediate", asked)
            assert (begun["state"], bool(begun["needs_approval"])) == ("waiting", True)
            await approver.post(f"/api/v1/incident/remedies/{begun['remedy_id']}/approve")
            remedy = await ended(shop, begun["remedy_id"])
        assert (remedy["state"], remedy["healthy"]) == ("succeeded", True), remedy
        assert [job.task_type for job in mending.jobs] == ["test.run"]


async def online(api: Caller) -> None:
    """Wait until the agent is there."""
    async with asyncio.timeout(LIMIT_S):
        while "edge-1" not in str((await api.call("GET", "/api/v1/agents")).body):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
