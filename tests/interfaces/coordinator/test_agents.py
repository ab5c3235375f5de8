"""Agents over HTTP: joining, finding, reporting, leaving."""

from typing import Any

from stellwerk.interfaces.coordinator.words import AgentType
from support.plane import Caller, Plane

from .frames import register, submit


async def shown(api: Caller, agent_id: str = "a1") -> dict[str, Any]:
    agent: dict[str, Any] = (await api.get(f"/agents/{agent_id}"))["agent"]
    return agent


async def found(api: Caller, **query: Any) -> list[str]:
    answer = await api.post("/agents/discover", query)
    assert answer["count"] == len(answer["agents"])
    assert answer["query"] == query
    return [agent["agent_id"] for agent in answer["agents"]]


async def test_every_documented_and_every_real_agent_type_is_taken(api: Caller):
    for kind in AgentType:
        await api.post("/agents/register", {"agent_id": "a1", "agent_type": kind.value})
        assert (await shown(api))["agent_type"] == kind.value


async def test_other_agent_types_are_refused(api: Caller):
    for kind in ("Worker", "WORKER", "robot", ""):
        answer = await api.call("POST", "/agents/register", {"agent_id": "a1", "agent_type": kind})
        assert (answer.status, answer.body) == (422, {"detail": f"{kind!r} is not a valid AgentType"})
    assert (await api.call("GET", "/agents/a1")).status == 404


async def test_registering_again_updates_and_keeps_the_registration_time(api: Caller):
    first = await api.post(
        "/agents/register", {"agent_id": "a1", "agent_type": "worker", "capabilities": ["x"]}
    )
    again = await api.post(
        "/agents/register", {"agent_id": "a1", "agent_type": "worker", "capabilities": ["y"]}
    )
    assert again["registered_at"] == first["registered_at"]
    assert (await shown(api))["capabilities"] == ["y"]
    assert await found(api, capabilities=["x"]) == []


async def test_version_tags_and_labels_are_fields_or_metadata(api: Caller):
    extra = {"version": "2.1", "tags": ["eu"], "labels": {"zone": "b"}}
    await register(api, "fields", **extra)
    await register(api, "metadata", metadata=extra)
    for agent_id in ("fields", "metadata"):
        agent = await shown(api, agent_id)
        assert {name: agent[name] for name in extra} == extra
    assert await found(api, tags=["eu"]) == ["fields", "metadata"]


async def test_metadata_that_is_no_version_is_only_kept(api: Caller):
    await register(api, metadata={"version": 2, "tags": "eu", "labels": [1]})
    agent = await shown(api)
    assert (agent["version"], agent["tags"], agent["labels"]) == ("1.0.0", [], {})
    assert agent["metadata"] == {"version": 2, "tags": "eu", "labels": [1]}


async def test_discovery_filters_by_every_field(api: Caller):
    await register(api, "a1", capabilities=["x", "y"], services=["s"], tags=["t"], labels={"z": "1"})
    await api.post("/agents/register", {"agent_id": "a2", "agent_type": "monitor", "capabilities": ["x"]})
    await api.put("/agents/a2/status", {"status": "error"})
    assert await found(api) == ["a1", "a2"]
    assert await found(api, status="active") == ["a1"]
    assert await found(api, status="error") == ["a2"]
    assert await found(api, agent_type="monitor") == ["a2"]
    assert await found(api, capabilities=["x"]) == ["a1", "a2"]
    assert await found(api, capabilities=["x", "y"]) == ["a1"]
    assert await found(api, services=["s"], tags=["t"], labels={"z": "1"}) == ["a1"]
    assert await found(api, min_health_score=0.9) == ["a1"]
    assert await found(api, limit=1) == ["a1"]
    assert await found(api, limit=0) == []


async def test_unknown_words_in_discovery_find_nothing(api: Caller):
    await register(api)
    assert await found(api, status="asleep") == []
    assert await found(api, agent_type="robot") == []
    assert await found(api, capabilities=["nobody-has-this"]) == []


async def test_nulls_in_discovery_mean_that_nothing_is_asked(api: Caller):
    await register(api)
    assert await found(api, status=None, agent_type=None, capabilities=None, services=None) == ["a1"]


async def test_discovery_with_wrong_types_is_refused(api: Caller):
    faulty = (b"", b"[]", b'"x"', b'{"capabilities":"x"}', b'{"status":1}', b'{"limit":-1}', b'{"limit":1.5}')
    for body in faulty:
        answer = await api.call("POST", "/agents/discover", body)
        assert answer.status == 422, body
        assert isinstance(answer.body["detail"], str)


async def test_agents_are_listed_by_service_and_by_capability(api: Caller):
    await register(api, "a1", capabilities=["x"], services=["s"])
    await register(api, "a2", capabilities=["x"])
    by_capability = await api.get("/agents/capability/x")
    assert (by_capability["capability"], by_capability["count"]) == ("x", 2)
    by_service = await api.get("/agents/service/s")
    assert (by_service["service"], [agent["agent_id"] for agent in by_service["agents"]]) == ("s", ["a1"])
    assert (await api.get("/agents/capability/none"))["count"] == 0


async def test_declared_status_is_shown(api: Caller):
    await register(api)
    for status in ("inactive", "busy", "maintenance", "error", "active"):
        updated = await api.put("/agents/a1/status", {"status": status})
        assert updated["new_status"] == status
        assert updated["message"] == "Agent a1 status updated"
        assert (await shown(api))["status"] == status


async def test_declared_stale_counts_as_inactive(api: Caller):
    await register(api)
    assert (await api.put("/agents/a1/status", {"status": "stale"}))["new_status"] == "stale"
    assert (await shown(api))["status"] == "inactive"
    await submit(api)
    assert (await api.post("/tasks/claim", {"agent_id": "a1"}))["count"] == 0


async def test_unknown_status_is_refused_and_changes_nothing(api: Caller):
    await register(api)
    answer = await api.call("PUT", "/agents/a1/status", {"status": "asleep"})
    assert (answer.status, answer.body) == (422, {"detail": "'asleep' is not a valid AgentStatus"})
    assert (await shown(api))["status"] == "active"


async def test_heartbeat_without_a_body_keeps_what_was_declared(api: Caller):
    await register(api)
    await api.put("/agents/a1/status", {"status": "maintenance", "load_metrics": {"cpu_usage": 0.3}})
    answer = await api.post("/agents/a1/heartbeat")
    assert (answer["status"], answer["agent_id"]) == ("success", "a1")
    assert answer["message"] == "Heartbeat received from a1"
    assert "tasks" not in answer
    agent = await shown(api)
    assert (agent["status"], agent["load_metrics"]) == ("maintenance", {"cpu_usage": 0.3})
    assert agent["last_heartbeat"] == answer["heartbeat_at"]


async def test_heartbeat_brings_tasks_to_those_who_ask(api: Caller):
    await register(api)
    task_id = await submit(api)
    answer = await api.post("/agents/a1/heartbeat", {"claim": 3, "load_metrics": {"cpu_usage": 0.1}})
    assert [task["task_id"] for task in answer["tasks"]] == [task_id]
    assert (await api.post("/agents/a1/heartbeat", {"claim": 3}))["tasks"] == []


async def test_unknown_agent_is_not_found(api: Caller):
    for method, path, body in (
        ("GET", "/agents/nobody", None),
        ("DELETE", "/agents/nobody", None),
        ("PUT", "/agents/nobody/status", {"status": "busy"}),
        ("POST", "/agents/nobody/heartbeat", None),
        ("POST", "/tasks/claim", {"agent_id": "nobody"}),
    ):
        answer = await api.call(method, path, body)
        assert answer.status == 404, (method, path)
        assert answer.body.pop("timestamp").endswith("+00:00")
        assert answer.body == {
            "detail": "Agent not found",
            "status": "error",
            "message": "Resource not found",
        }


async def test_removed_agent_is_gone_from_every_listing(api: Caller):
    await register(api, capabilities=["x"])
    assert (await api.delete("/agents/a1"))["message"] == "Agent a1 removed"
    assert (await api.call("GET", "/agents/a1")).status == 404
    assert await found(api) == []
    assert (await api.get("/registry/stats"))["stats"]["total_agents"] == 0


async def test_another_principal_s_agent_is_not_changed(plane: Plane):
    alice, bob = await plane.key("fleet:write", "fleet:read"), await plane.key("fleet:write", "tasks:work")
    await register(alice, capabilities=["x"])
    for method, path, body in (
        ("POST", "/agents/register", {"agent_id": "a1", "agent_type": "worker"}),
        ("PUT", "/agents/a1/status", {"status": "error"}),
        ("POST", "/agents/a1/heartbeat", None),
        ("DELETE", "/agents/a1", None),
        ("POST", "/tasks/claim", {"agent_id": "a1"}),
    ):
        answer = await bob.call(method, path, body)
        assert (answer.status, answer.body["code"]) == (409, "owned_by_another"), (method, path)
    agent = await shown(alice)
    assert (agent["capabilities"], agent["status"]) == (["x"], "active")


async def test_instances_of_an_agent_are_shown_and_removed_singly(api: Caller):
    await register(api, instance_id="i1", capabilities=["x"])
    await register(api, instance_id="i2", capabilities=["y"])
    agent = await shown(api)
    assert {one["instance_id"] for one in agent["instances"]} == {"i1", "i2"}
    assert set(agent["capabilities"]) == {"x", "y"}
    await api.delete("/agents/a1?instance_id=i2")
    assert (await shown(api))["capabilities"] == ["x"]


async def test_registry_figures_count_by_status_and_type(api: Caller):
    await register(api, "a1", capabilities=["x", "y"], services=["s"])
    await api.post("/agents/register", {"agent_id": "a2", "agent_type": "monitor"})
    await api.put("/agents/a2/status", {"status": "busy"})
    stats = (await api.get("/registry/stats"))["stats"]
    assert stats.pop("last_cleanup")
    assert stats == {
        "total_agents": 2,
        "status_counts": {"active": 1, "busy": 1},
        "type_counts": {"worker": 1, "monitor": 1},
        "service_count": 1,
        "capability_count": 2,
    }


async def test_aliases_answer_as_the_plain_paths_do(plane: Plane):
    await register(plane.main, capabilities=["x"], services=["s"])
    for alias, plain in (
        ("/v1/agents/a1", "/agents/a1"),
        ("/api/v1/agent/messages/registry/stats", "/registry/stats"),
        ("/api/v1/agent/messages/load-balancer/stats", "/load-balancer/stats"),
        ("/api/v1/agent/messages/agents/service/s", "/agents/service/s"),
        ("/api/v1/agent/messages/agents/capability/x", "/agents/capability/x"),
        ("/v1/tasks/status", "/tasks/status"),
    ):
        for caller in (plane.main, plane.coordinator):
            ours, theirs = await caller.get(alias), await caller.get(plain)
            assert ours.keys() == theirs.keys(), alias
    for path in ("/v2/agents/a1", "/v1/health", "/v1", "/api/v1/agent/messages/tasks/status", "/v1/agentsx"):
        assert (await plane.main.call("GET", path)).status == 404
