"""Metrics in Prometheus's text format."""

import re

from prometheus_client.parser import text_string_to_metric_families

from support.plane import Caller, Plane

NAME = re.compile(r"[a-z][a-z0-9_]*")
KINDS = ("counter", "gauge", "histogram", "summary", "info")


async def families(api: Caller) -> dict[str, dict[tuple[str, ...], float]]:
    """Read the samples by name and label values."""
    text = (await api.get("/metrics")).decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def test_names_follow_prometheus_s_rules(api: Caller):
    await api.post("/agents/register", {"agent_id": "a1", "agent_type": "worker"})
    answer = await api.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    seen = set()
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.name not in seen
        seen.add(family.name)
        assert NAME.fullmatch(family.name)
        assert family.documentation.endswith(".") or not family.name.startswith("stellwerk_"), family.name
        assert family.documentation
        assert not any(kind in family.name.split("_") for kind in KINDS if kind != "info"), family.name
        assert family.name.endswith("_total") is False
        assert not re.search(r"_(ms|us|s|kb|mb)(_|$)", family.name), family.name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
    assert {"stellwerk_agents", "stellwerk_tasks", "process_resident_memory_bytes"} <= seen


async def test_figures_follow_what_happens(api: Caller):
    await api.post("/agents/register", {"agent_id": "a1", "agent_type": "worker"})
    await api.post("/tasks/submit", {"task_data": {}, "priority": "high"})
    await api.post("/tasks/submit", {"task_data": {}})
    await api.post("/tasks/claim", {"agent_id": "a1"})
    found = await families(api)
    assert found["stellwerk_agents"][("active", "online")] == 1
    assert found["stellwerk_tasks"][("leased",)] == 1
    assert found["stellwerk_tasks_queued"][("high",)] == 0
    assert found["stellwerk_tasks_queued"][("normal",)] == 1
    assert found["stellwerk_tasks_submitted_total"][()] == 2
    assert found["stellwerk_leases"][()] == 1
    assert found["stellwerk_http_requests_total"][("POST", "/tasks/submit", "200")] == 2
    assert found["stellwerk_http_request_duration_seconds_count"][("POST", "/tasks/submit")] == 2
    async with api.socket("/agents/a1/ws"):
        assert (await families(api))["stellwerk_websocket_connections"][("agents",)] == 1


async def test_callers_cannot_make_series(api: Caller):
    for number in range(20):
        await api.call("GET", f"/agents/unknown-{number}")
        await api.call("GET", f"/nothing/{number}")
        await api.post("/agents/register", {"agent_id": f"a{number}", "agent_type": "worker"})
        await api.post("/tasks/submit", {"task_data": {"task_type": f"t{number}"}, "priority": number})
    text = (await api.get("/metrics")).decode()
    assert "unknown-" not in text
    assert "nothing" not in text
    assert 'route="/agents/{agent_id}",status="404"} 20.0' in text
    assert len([line for line in text.splitlines() if not line.startswith("#")]) < 300


async def test_listener_of_its_own_answers_metrics_only(plane: Plane):
    assert b"stellwerk_build_info" in await plane.metrics.get("/metrics")
    for path in ("/health", "/events", "/keys", "/docs", "/openapi.json", "/metrics/x", "/"):
        assert (await plane.metrics.call("GET", path)).status == 404
