"""`stellwerk investigate` and `stellwerk remedy` against a whole control plane."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from interfaces.incidents.test_remedies import BY_RELEASE, broken_shop
from stellwerk.cli.incidents.investigate import request_of
from stellwerk.cli.main import app
from stellwerk.inquiry.model import Conclusion, Outcome
from support.shop import Shop

UNKNOWN = Conclusion(
    outcome=Outcome.INCONCLUSIVE, summary="It is not known.", confidence=0.1, missing=("the logs",)
)


async def run(shop: Shop, *words: str, key: str | None = None) -> Result:
    """Run the command line against the shop."""
    more = ["--server", shop.plane.main.url, *(["--api-key", key] if key else [])]
    return await asyncio.to_thread(CliRunner().invoke, app, [*words, *more])


async def test_investigation_is_followed_and_shows_the_chain_with_its_evidence(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        done = await run(shop, "investigate", "deploy/frontend", "-n", "default", "--no-remedy")
        assert done.exit_code == 0, done.output
        assert "… Analyzing pod logs..." in done.stderr
        assert "The cause is known, and there is a remedy. (confidence 95%)" in done.stdout
        assert "[e1, event] manifest unknown" in done.stdout
        assert "Root: Deployment/frontend in default" in done.stdout
        assert "rollback-release, RollbackDeployment, risk medium" in done.stdout


async def test_remedy_is_shown_and_carried_out_when_that_is_wanted(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        left = await run(shop, "investigate", "deployment/frontend")
        assert "to carry it out say --yes" in left.stderr
        assert (await shop.api.get("/api/releases"))["releases"][0]["kind"] == "up"
        done = await run(shop, "investigate", "deployment/frontend", "--yes")
        assert done.exit_code == 0, done.output
        assert "would: update default/Deployment/frontend" in done.stdout
        assert (
            "succeeded: rollback of frontend succeeded; Deployment/frontend in default is healthy"
            in done.stdout
        )


async def test_remedy_in_production_is_approved_by_somebody_else(tmp_path: Path):
    async with broken_shop(tmp_path, environment="production") as shop:
        keys = [
            (await shop.plane.main.post("/keys", {"name": "x", "scopes": scopes}))["key"]
            for scopes in (["incidents:admin", "services:deploy"], ["incidents:read", "incidents:approve"])
        ]
        asked = await run(shop, "investigate", "deployment/frontend", "--yes", key=keys[0])
        assert asked.exit_code == 0, asked.output
        command = next(line for line in asked.stdout.splitlines() if "stellwerk remedy approve" in line)
        remedy_id = command.split()[-1]
        refused = await run(shop, "remedy", "approve", remedy_id, key=keys[0])
        assert refused.exit_code == 1
        done = await run(shop, "remedy", "approve", remedy_id, key=keys[1])
        assert (done.exit_code, "succeeded" in done.stdout) == (0, True), done.output
        shown = await run(shop, "remedy", "show", remedy_id, key=keys[1])
        assert "approval     needed, because the environment is production" in shown.stdout


async def test_unknown_cause_is_said_and_is_a_failure(tmp_path: Path):
    async with broken_shop(tmp_path, UNKNOWN) as shop:
        done = await run(shop, "investigate", "deployment/frontend")
        assert done.exit_code == 1
        assert "Not known: the logs" in done.stdout


async def test_result_can_be_printed_as_json(tmp_path: Path):
    async with broken_shop(tmp_path, BY_RELEASE) as shop:
        done = await run(shop, "investigate", "deployment/frontend", "--json")
        assert json.loads(done.stdout)["selected_workflow"]["workflow_id"] == "rollback-release"


async def test_catalogue_is_listed(tmp_path: Path):
    async with broken_shop(tmp_path) as shop:
        assert "increase-memory" in (await run(shop, "remedy", "workflows")).stdout


@pytest.mark.parametrize("target", ["frontend", "deployment/", "/x"])
def test_target_without_a_kind_is_refused(target: str):
    assert CliRunner().invoke(app, ["investigate", target]).exit_code == 2


def test_kinds_are_taken_as_kubectl_takes_them_and_nodes_have_no_namespace():
    assert request_of("svc/web", "shop", "")["resource_kind"] == "Service"
    assert request_of("no/n1", "shop", "")["resource_namespace"] == ""
    assert request_of("Certificate/web", "shop", "")["resource_kind"] == "Certificate"
