"""The metrics have their published names, and bounded labels."""

from dataclasses import replace
from pathlib import Path

import msgspec

from interfaces.incidents.conftest import SESSION, request
from stellwerk.inquiry.sessions.figures import OTHER, SIGNALS, Figures
from stellwerk.inquiry.sessions.session import Session
from stellwerk.settings import InquirySettings, Settings
from support.inquiry import ScriptedDetective, opening
from support.plane import Plane, running_plane
from support.prometheus import fake_prometheus, matrix


async def test_metrics_of_sessions_and_of_the_model_are_there(tmp_path: Path):
    async with running_plane(tmp_path, detective=ScriptedDetective()) as plane:
        session_id = (await plane.main.post("/api/v1/incident/analyze", request()))["session_id"]
        await plane.main.call("GET", f"{SESSION}/{session_id}/stream")
        text = (await plane.metrics.call("GET", "/metrics")).body.decode()
    started = 'aiagent_sessions_started_total{severity="high",signal_name="KubePodCrashLooping"} 1.0'
    for line in (
        started,
        'aiagent_sessions_completed_total{outcome="no_workflow"} 1.0',
        "aiagent_sessions_active 0.0",
        'aiagent_session_duration_seconds_count{outcome="no_workflow"} 1.0',
        'aiagent_api_llm_requests_total{status="success"} 0.0',
        'aiagent_api_llm_tokens_total{type="prompt"} 0.0',
        "aiagent_api_llm_request_duration_seconds_count 0.0",
    ):
        assert line in text


async def metrics(plane: Plane) -> str:
    return str((await plane.metrics.call("GET", "/metrics")).body.decode())


async def test_requests_refusals_and_audit_events_are_counted_under_the_published_names(tmp_path: Path):
    settings = replace(Settings(), inquiry=InquirySettings(concurrent=1))
    detective = ScriptedDetective(held=True)
    async with running_plane(tmp_path, settings, detective=detective) as plane:
        other = await plane.key("metrics:read")
        reader = await plane.key("incidents:read")
        session_id = (await plane.main.post("/api/v1/incident/analyze", request()))["session_id"]
        for _ in range(2):
            assert (await other.call("GET", f"{SESSION}/{session_id}")).status == 403
        assert (await reader.call("GET", f"{SESSION}/{session_id}")).status == 404
        assert (await plane.main.call("POST", "/api/v1/incident/analyze", request())).status == 429
        async with plane.main.session.get(f"{plane.main.url}{SESSION}/{session_id}/stream") as stream:
            await stream.content.readany()
            during = await metrics(plane)
            detective.go_on.set()
            await stream.read()
        after = await metrics(plane)
    analyze = 'endpoint="/api/v1/incident/analyze",method="POST"'
    assert "aiagent_http_requests_in_flight 1.0" in during
    for line in (
        "aiagent_http_requests_in_flight 0.0",
        f'aiagent_http_request_duration_seconds_count{{{analyze},status="202"}} 1.0',
        f'aiagent_http_request_duration_seconds_count{{{analyze},status="429"}} 1.0',
        "aiagent_http_rate_limited_total 1.0",
        'aiagent_authz_denied_total{reason="missing_scope"} 2.0',
        'aiagent_authz_denied_total{reason="not_shown"} 1.0',
        'aiagent_audit_events_emitted_total{event_type="aiagent.session.started"} 1.0',
        'aiagent_audit_events_emitted_total{event_type="aiagent.session.access_denied"} 1.0',
        'aiagent_audit_events_emitted_total{event_type="aiagent.response.complete"} 1.0',
    ):
        assert line in after, line
    assert 'endpoint="/keys"' not in after  # other interfaces have no published names here
    assert "aiagent.session.progress" not in after  # no audit event


async def test_readyz_shows_the_loops_of_investigations_and_what_is_known_of_prometheus(tmp_path: Path):
    async with fake_prometheus(lambda request: matrix()) as fake:
        settings = replace(Settings(), inquiry=InquirySettings(prometheus=fake.url))
        async with running_plane(tmp_path, settings) as plane:
            ready = (await plane.conductor.get("/readyz"))["components"]
        assert fake.asked == []
    loops = {"inquiry.sessions", "inquiry.remedies", "inquiry.retention"}
    assert {ready[name]["status"] for name in loops} == {"ready"}
    assert ready["prometheus"]["status"] == "unknown"


def test_names_of_signals_are_counted_apart_only_up_to_a_bound():
    figures = Figures()
    asked = opening()
    for number in range(SIGNALS + 10):
        target = msgspec.structs.replace(asked.target, signal=f"signal-{number}")
        figures.started(Session(id="s", target=target, signal=asked.signal, by="local", requested_at=0))
    assert len(figures.begun) == SIGNALS + 1
    assert figures.begun[OTHER, OTHER] == 10
