"""The document's flow: submit, poll, result, with its examples to the letter."""

from typing import Any

import pytest

from interfaces.incidents.conftest import SESSION, Desk, OpenDesk, request
from interfaces.incidents.published import VERSIONS, document, faults
from stellwerk.inquiry.model import Conclusion, Outcome
from support.inquiry import ScriptedDetective

UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"
PROBLEMS = "https://kubernaut.ai/problems/"


async def test_submit_is_accepted_with_a_session_id_and_nothing_else(desk: Desk):
    answer = await desk.caller.call("POST", "/api/v1/incident/analyze", request())
    assert answer.status == 202
    assert set(answer.body) == {"session_id"}
    assert len(answer.body["session_id"]) == len(UNKNOWN)


async def test_poll_of_an_investigation_under_way_says_what_it_does(open_desk: OpenDesk):
    async with open_desk(ScriptedDetective(held=True)) as desk:
        session_id = await desk.submit(request())
        await desk.office.detective.looking.wait()
        async for session in desk.office.investigations.follow(session_id):
            if session.progress == "Analyzing pod logs...":
                break
        shown = await desk.caller.get(f"{SESSION}/{session_id}")
        assert (shown["status"], shown["progress"]) == ("investigating", "Analyzing pod logs...")


async def test_result_before_the_end_is_the_documents_409(open_desk: OpenDesk):
    async with open_desk(ScriptedDetective(held=True)) as desk:
        session_id = await desk.submit(request())
        async for session in desk.office.investigations.follow(session_id):
            if session.state == "investigating":
                break
        answer = await desk.caller.call("GET", f"{SESSION}/{session_id}/result")
    assert answer.status == 409
    assert answer.headers["content-type"] == "application/problem+json"
    documented = {
        "type": "https://kubernaut.ai/problems/conflict",
        "title": "Conflict",
        "detail": "Session is still investigating, result not yet available",
        "status": 409,
    }
    assert documented.items() <= answer.body.items()


@pytest.mark.parametrize("path", ["", "/result", "/snapshot", "/stream"])
async def test_session_that_nobody_knows_is_404(desk: Desk, path: str):
    answer = await desk.caller.call("GET", f"{SESSION}/{UNKNOWN}{path}")
    assert (answer.status, answer.body["type"], answer.body["title"]) == (
        404,
        PROBLEMS + "not-found",
        "Session Not Found",
    )


async def test_result_has_every_documented_field_under_both_names(desk: Desk):
    session_id = await desk.ended(request())
    assert (await desk.caller.get(f"{SESSION}/{session_id}"))["status"] == "completed"
    result = await desk.caller.get(f"{SESSION}/{session_id}/result")
    documented = {
        "root_cause",
        "confidence",
        "investigation_outcome",
        "selected_workflow",
        "actionable",
        "remediation_target",
        "detected_labels",
    }
    coded = {
        name
        for version in VERSIONS
        for name in document(version)["components"]["schemas"]["IncidentResponse"]["properties"]
    }
    assert documented | coded <= set(result)
    assert result["root_cause"] == result["analysis"] == result["root_cause_analysis"]["summary"]
    assert result["actionable"] is result["is_actionable"] is False
    assert result["incident_id"] == "inc-2026-0042"
    target = {"kind": "Deployment", "namespace": "shop", "name": "frontend", "apiVersion": "apps/v1"}
    assert result["remediation_target"] == result["root_cause_analysis"]["remediationTarget"] == target
    assert result["root_cause_analysis"]["root_objects"] == [target]
    assert result["root_cause_analysis"]["causal_chain"][0]["evidence"] == ["e1"]
    assert result["investigation_outcome"] == "no_workflow"


@pytest.mark.parametrize(
    ("outcome", "actionable", "review"),
    [
        (Outcome.NO_WORKFLOW, False, "no_matching_workflows"),
        (Outcome.NOT_ACTIONABLE, False, None),
        (Outcome.RESOLVED, False, None),
        (Outcome.INCONCLUSIVE, None, "investigation_inconclusive"),
    ],
)
async def test_each_outcome_is_told_in_the_published_words(
    open_desk: OpenDesk, outcome: Outcome, actionable: bool | None, review: str | None
):
    conclusion = Conclusion(outcome=outcome, summary="so it is", confidence=0.8)
    async with open_desk(ScriptedDetective(conclusion)) as desk:
        session_id = await desk.ended(request())
        result = await desk.caller.get(f"{SESSION}/{session_id}/result")
    assert result["investigation_outcome"] == outcome
    assert (result["is_actionable"], result["human_review_reason"]) == (actionable, review)
    assert result["needs_human_review"] is (review is not None)
    for version in VERSIONS:
        assert faults(version, "IncidentResponse", result) == []


async def test_failed_session_says_why_and_its_result_stays_409(open_desk: OpenDesk):
    async with open_desk(ScriptedDetective(error=RuntimeError("x"))) as desk:
        session_id = await desk.ended(request())
        shown = await desk.caller.get(f"{SESSION}/{session_id}")
        answer = await desk.caller.call("GET", f"{SESSION}/{session_id}/result")
    assert (shown["status"], shown["error"]) == ("failed", "internal error: RuntimeError")
    assert answer.status == 409
    assert "is failed, not completed" in answer.body["detail"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_answer_keeps_the_published_schema(desk: Desk, version: str):
    assert faults(version, "IncidentRequest", request(resource_api_version="apps/v1")) == []
    accepted = await desk.caller.post("/api/v1/incident/analyze", request())
    assert faults(version, "AnalyzeAccepted", accepted) == []
    session_id = accepted["session_id"]
    await desk.office.investigations.wait(session_id, 20.0)
    for path, name in (
        ("", "SessionStatus"),
        ("/result", "IncidentResponse"),
        ("/snapshot", "SessionSnapshot"),
    ):
        assert faults(version, name, await desk.caller.get(f"{SESSION}/{session_id}{path}")) == []
    refused = await desk.caller.call("POST", f"{SESSION}/{session_id}/cancel")
    assert faults(version, "HTTPError", refused.body) == []


def test_our_description_has_the_published_operations() -> None:
    from stellwerk.interfaces.incidents.interface import build

    ours = build_description(build)
    for version in VERSIONS:
        for path, item in document(version)["paths"].items():
            if path in {"/health", "/ready", "/healthz", "/readyz", "/config"}:
                continue
            for method, published in item.items():
                described = ours["paths"][path][method]
                known = published.get("operationId", "")
                if "endpoint" in known:
                    assert described["operationId"] == known
                assert set(published["responses"]) - {"422"} <= set(described["responses"])


def build_description(build: Any) -> Any:
    """Describe the interface without anything behind it."""
    from stellwerk.settings import InquirySettings

    return build(
        investigations=None, remedies=None, catalogue=None, journal=None, settings=InquirySettings()
    ).document()
