"""What does not fit is refused with problem details, and changes nothing."""

from typing import Any

import pytest

from interfaces.incidents.conftest import SESSION, Desk, OpenDesk, request
from stellwerk.trust.principal import LOCAL
from support.inquiry import ScriptedDetective
from support.plane import Answer

ANALYZE = "/api/v1/incident/analyze"
REQUIRED = sorted(request())


def check_problem(answer: Answer, status: int, kind: str, title: str) -> None:
    """Check the shape of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    assert answer.status == answer.body["status"] == status, answer
    assert answer.body["type"] == f"https://kubernaut.ai/problems/{kind}"
    assert answer.body["title"] == title
    assert {"detail", "instance", "request_id"} <= set(answer.body)


@pytest.mark.parametrize("missing", REQUIRED)
async def test_request_without_a_required_field_is_400_and_opens_nothing(desk: Desk, missing: str):
    answer = await desk.caller.call("POST", ANALYZE, request(**{missing: None}))
    check_problem(answer, 400, "validation-error", "Bad Request")
    assert missing in answer.body["detail"]
    assert await desk.office.investigations.list(LOCAL) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"severity": "enormous"},
        {"signal_mode": "sideways"},
        {"occurrence_count": "many"},
        {"signal_labels": {"a": 1}},
        {"enrichment_results": {"customLabels": "x"}},
    ],
)
async def test_wrong_type_or_word_is_400(desk: Desk, changed: dict[str, Any]):
    answer = await desk.caller.call("POST", ANALYZE, request(**changed))
    check_problem(answer, 400, "validation-error", "Bad Request")
    assert next(iter(changed)) in answer.body["detail"]


@pytest.mark.parametrize(
    "changed",
    [
        {"remediation_id": ""},
        {"incident_id": ""},
        {"resource_name": ""},
        {"resource_name": "x" * 300},
        {"resource_kind": "Pod\x00"},
        {"resource_namespace": "a/b/c"},
    ],
)
async def test_what_fits_the_types_and_makes_no_sense_is_422(desk: Desk, changed: dict[str, str]):
    answer = await desk.caller.call("POST", ANALYZE, request(**changed))
    check_problem(answer, 422, "validation-error", "Validation Error")
    assert await desk.office.investigations.list(LOCAL) == []


async def test_empty_remediation_id_is_refused_in_the_published_words(desk: Desk):
    answer = await desk.caller.call("POST", ANALYZE, request(remediation_id=""))
    assert answer.body["detail"] == "remediation_id is required (DD-WORKFLOW-002)"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"a":' * 500])
async def test_body_that_is_no_request_is_refused(desk: Desk, body: bytes):
    answer = await desk.caller.call("POST", ANALYZE, body)
    assert answer.status in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_huge_body_is_413_and_huge_text_is_cut(desk: Desk):
    answer = await desk.caller.call("POST", ANALYZE, request(error_message="x" * 2_000_000))
    check_problem(answer, 413, "payload-too-large", "Payload Too Large")
    session_id = await desk.ended(request(error_message="x" * 500_000, description="y" * 100_000))
    session = await desk.office.investigations.get(session_id, LOCAL)
    assert len(session.target.message) == 16_384


async def test_other_media_types_methods_and_paths_are_problems_too(desk: Desk):
    wrong = await desk.caller.call("POST", ANALYZE, b"a", headers={"content-type": "text/plain"})
    check_problem(wrong, 415, "unsupported-media-type", "Unsupported Media Type")
    wrong = await desk.caller.call("PUT", ANALYZE)
    check_problem(wrong, 405, "method-not-allowed", "Method Not Allowed")
    wrong = await desk.caller.call("GET", "/api/v1/incident/nothing")
    check_problem(wrong, 404, "not-found", "Not Found")
    wrong = await desk.caller.call("GET", "/api/v1/incident/sessions?limit=0")
    check_problem(wrong, 400, "validation-error", "Bad Request")


async def test_more_sessions_than_allowed_are_429_with_the_time_to_come_back(open_desk: OpenDesk):
    async with open_desk(ScriptedDetective(held=True), concurrent=1) as desk:
        await desk.submit(request())
        answer = await desk.caller.call("POST", ANALYZE, request())
        check_problem(answer, 429, "too-many-requests", "Too Many Requests")
        assert answer.headers["retry-after"] == "1"
        assert len(await desk.office.investigations.list(LOCAL)) == 1


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low", "warning", "info", "unknown"])
async def test_severities_of_both_versions_are_taken(desk: Desk, severity: str):
    session_id = await desk.ended(request(severity=severity, resource_api_version="apps/v1"))
    result = await desk.caller.get(f"{SESSION}/{session_id}/result")
    assert result["root_cause_analysis"]["severity"] == severity


async def test_fields_of_the_later_version_and_unknown_ones_are_taken(desk: Desk):
    more = {
        "signal_mode": "Proactive",
        "signal_annotations": {"summary": "x"},
        "interactive": False,
        "firing_time": "not a time",
        "first_seen": "2026-11-21T21:43:43Z",
        "cluster": "production",
        "enrichment_results": {"businessClassification": {"criticality": "high"}},
        "is_duplicate": None,
    }
    session_id = await desk.ended(request(**more))
    session = await desk.office.investigations.get(session_id, LOCAL)
    assert session.target.since == 1_795_297_423_000_000
