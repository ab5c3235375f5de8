"""The metrics have their published names, and bounded labels."""

from pathlib import Path

import msgspec

from interfaces.incidents.conftest import SESSION, request
from stellwerk.inquiry.sessions.figures import OTHER, SIGNALS, Figures
from stellwerk.inquiry.sessions.session import Session
from support.inquiry import ScriptedDetective, opening
from support.plane import running_plane


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


def test_names_of_signals_are_counted_apart_only_up_to_a_bound():
    figures = Figures()
    asked = opening()
    for number in range(SIGNALS + 10):
        target = msgspec.structs.replace(asked.target, signal=f"signal-{number}")
        figures.started(Session(id="s", target=target, signal=asked.signal, by="local", requested_at=0))
    assert len(figures.begun) == SIGNALS + 1
    assert figures.begun[OTHER, OTHER] == 10
