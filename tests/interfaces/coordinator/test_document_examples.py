"""Every request of the published document is answered with every documented field."""

from typing import Any

import pytest

from support.plane import Answer, Plane

from .document import Example, Request, lacks, read_examples

EXAMPLES = read_examples()
NAMES = [example.title for example in EXAMPLES]


async def send(plane: Plane, request: Request, **headers: str) -> Answer:
    return await plane.coordinator.call(
        request.method, request.path, request.body, headers={**request.headers, **headers}
    )


async def register_first(plane: Plane) -> None:
    answer = await send(plane, EXAMPLES[0].request)
    assert answer.status == 200, answer


def test_all_examples_are_read():
    assert [example.endpoint for example in EXAMPLES] == [
        "POST /agents/register",
        "POST /agents/discover",
        "GET /agents/{agent_id}",
        "PUT /agents/{agent_id}/status",
        "POST /tasks/submit",
        "GET /tasks/status",
        "GET /health",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
async def test_example_is_answered_with_every_documented_field(plane: Plane, example: Example):
    await register_first(plane)
    answer = await send(plane, example.request)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert lacks(example.answers[200], answer.body) == []


async def test_examples_work_on_the_main_listener_and_under_their_aliases(plane: Plane):
    for example in EXAMPLES[:6]:
        for prefix in ("", "/v1"):
            request = example.request
            answer = await plane.main.call(
                request.method, prefix + request.path, request.body, headers=request.headers
            )
            assert lacks(example.answers[200], answer.body) == [], example.title


async def test_examples_work_with_the_content_type_that_curl_sends_by_itself(plane: Plane):
    for example in EXAMPLES:
        if example.request.body:
            answer = await send(
                plane, example.request, **{"content-type": "application/x-www-form-urlencoded"}
            )
            assert answer.status == 200, example.title


DISCOVERED: dict[str, Any] = {
    "agent_id": "hermes-agent",
    "agent_type": "worker",
    "status": "active",
    "capabilities": ["data-processing", "analysis"],
    "services": ["task-execution"],
    "endpoints": {"http": "http://localhost:9002"},
    "metadata": {"version": "1.0.0"},
    "load_metrics": {},
    "health_score": 1.0,
    "version": "1.0.0",
    "tags": [],
    "labels": {},
}


async def test_registered_example_is_discovered_as_it_was_registered(plane: Plane):
    await register_first(plane)
    answer = await send(plane, EXAMPLES[1].request)
    agent = dict(answer.body["agents"][0])
    assert agent.pop("last_heartbeat") == agent.pop("registration_time")
    assert agent == DISCOVERED
    assert answer.body["query"] == {"status": "active", "agent_type": "worker"}


async def test_status_of_the_example_is_shown(plane: Plane):
    await register_first(plane)
    updated = await send(plane, EXAMPLES[3].request)
    assert updated.body["new_status"] == "busy"
    shown = (await send(plane, EXAMPLES[2].request)).body["agent"]
    assert (shown["status"], shown["load_metrics"]) == ("busy", {"active_connections": 5, "pending_tasks": 2})


async def test_submitted_example_waits_in_its_queue(plane: Plane):
    await send(plane, EXAMPLES[4].request)
    status = await send(plane, EXAMPLES[5].request)
    assert status.body["stats"]["queue_sizes"] == {
        "urgent": 0,
        "critical": 0,
        "high": 0,
        "normal": 1,
        "low": 0,
    }


async def test_documented_refusals_have_the_documented_shape(plane: Plane):
    not_found = await plane.coordinator.call("GET", "/agents/nobody")
    assert (not_found.status, not_found.body["detail"]) == (404, "Agent not found")
    assert not_found.body["status"] == "error"
    assert not_found.body["message"] == "Resource not found"
    bad_type = await plane.coordinator.call("POST", "/agents/register", {"agent_id": "a", "agent_type": "x"})
    assert (bad_type.status, bad_type.body) == (422, {"detail": "'x' is not a valid AgentType"})
    missing = await plane.coordinator.call("POST", "/agents/register", {"agent_id": "a"})
    assert missing.status == 422
    assert isinstance(missing.body["detail"], str)
    priority = await plane.coordinator.call("POST", "/tasks/submit", {"task_data": {}, "priority": "soon"})
    assert (priority.status, priority.body) == (400, {"detail": "Invalid priority: soon"})


async def test_description_and_its_page_are_served(plane: Plane):
    described = await plane.coordinator.get("/openapi.json")
    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) >= {"/agents/register", "/tasks/submit", "/health"}
    page = await plane.coordinator.get("/docs")
    assert b"swagger-ui-bundle.js" in page
    assert b"http://" not in page
    assert b"https://" not in page
