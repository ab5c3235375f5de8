"""Registration, signs of life, leaving, and what is shown of nodes."""

import asyncio
from typing import Any

import aiohttp
import pytest

from support.node import Node, joined
from support.plane import Caller, Plane


async def test_a_node_is_active_after_its_first_ready_heartbeat_without_being_dialled(api: Caller) -> None:
    node = await Node(api).listen()
    answer = await node.register()
    assert (answer.status, answer.body["success"], answer.body["node_id"]) == (201, True, "hello")
    # The SDK would take these for its own address.
    assert not {"resolved_base_url", "callback_discovery", "status"} & answer.body.keys()
    starting = await api.get("/api/v1/nodes/hello")
    assert (starting["health_status"], starting["lifecycle_status"]) == ("unknown", "starting")
    beat = await node.beat()
    assert beat.body["message"] == "heartbeat received"
    ready = await api.get("/api/v1/nodes/hello")
    assert (ready["health_status"], ready["lifecycle_status"]) == ("active", "ready")
    assert ready["base_url"] == node.url
    assert [one["id"] for one in ready["reasoners"]] == ["greet"]
    assert ready["instances"][0]["instance_id"] == node.instance
    assert node.dialled == []
    await node.close()


async def test_a_node_that_nobody_knows_is_told_to_register(api: Caller) -> None:
    answer = await Node(api).beat()
    assert (answer.status, answer.body["error"]) == (404, "node not found")


async def test_a_heartbeat_of_a_process_that_is_not_registered_counts_for_nobody(api: Caller) -> None:
    node = Node(api, port=1)
    await node.register()
    assert (await node.beat(instance_id="another")).status == 404
    assert (await api.get("/api/v1/nodes/hello"))["health_status"] == "unknown"


async def test_a_node_that_registers_again_stays_active_and_keeps_its_version(api: Caller) -> None:
    node = Node(api, port=1)
    await node.register()
    await node.beat()
    await node.register(lifecycle_status="degraded")
    shown = await api.get("/api/v1/nodes/hello")
    assert (shown["health_status"], shown["versions"]) == ("active", ["1.0.0"])
    assert len(shown["instances"]) == 1


async def test_a_new_process_at_the_same_address_replaces_the_old_one(api: Caller) -> None:
    await Node(api, port=1).register()
    successor = Node(api, port=1)
    await successor.register()
    shown = await api.get("/api/v1/nodes/hello")
    assert [one["instance_id"] for one in shown["instances"]] == [successor.instance]


async def test_a_process_without_a_name_is_one_process_however_often_it_registers(api: Caller) -> None:
    for version in ("1.0.0", "1.0.0", "2.0.0"):
        port = 1 if version == "1.0.0" else 2
        answer = await Node(api, version=version, port=port, instance="").register()
        assert answer.status == 201, answer
    shown = await api.get("/api/v1/nodes/hello")
    assert sorted(one["version"] for one in shown["instances"]) == ["1.0.0", "2.0.0"]


async def test_a_degraded_node_says_so_and_an_unknown_word_changes_nothing(api: Caller) -> None:
    node = Node(api, port=1)
    await node.register()
    await node.beat("degraded")
    assert (await api.get("/api/v1/nodes/hello"))["health_status"] == "degraded"
    await node.beat("whatever")
    assert (await api.get("/api/v1/nodes/hello"))["health_status"] == "degraded"
    await node.beat("ready")
    assert (await api.get("/api/v1/nodes/hello"))["health_status"] == "active"


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "a/b"},
        {"id": ""},
        {"id": "register"},
        {"id": "x" * 254},
        {"base_url": ""},
        {"base_url": "ftp://127.0.0.1/"},
        {"base_url": "http://127.0.0.1/ a"},
        {"version": "1 0"},
        {"instance_id": "a b"},
        {"reasoners": [{"id": "greet me"}]},
        {"reasoners": [{}]},
        {"reasoners": [{"id": f"f{number}"} for number in range(300)]},
        {"metadata": []},
    ],
)
async def test_a_registration_that_does_not_fit_is_refused_and_changes_nothing(
    api: Caller, wrong: dict[str, Any]
) -> None:
    answer = await Node(api, port=1).register(**wrong)
    assert answer.status == 400, answer
    assert answer.body["error_category"] == "invalid_request"
    assert (await api.get("/api/v1/nodes"))["nodes"] == []


async def test_schemas_past_the_limit_are_left_out_and_the_functions_stay(api: Caller) -> None:
    long = {"type": "object", "description": "x" * 40_000}
    functions = [{"id": name, "input_schema": long, "tags": ["t"]} for name in ("a", "b", "c")]
    assert (await Node(api, port=1).register(reasoners=functions)).status == 201
    shown = await api.get("/api/v1/nodes/hello")
    assert [one["id"] for one in shown["reasoners"]] == ["a", "b", "c"]
    assert sum("input_schema" in one for one in shown["reasoners"]) == 1


async def test_nodes_are_the_owners_own(plane: Plane) -> None:
    mine, other = await plane.key("fleet:write"), await plane.key("fleet:write")
    node = Node(mine, port=1)
    await node.register()
    stranger = Node(other, port=1, instance=node.instance)
    for answer in (
        await stranger.register(),
        await stranger.beat(),
        await other.call("POST", "/api/v1/nodes/hello/shutdown", {}),
    ):
        assert (answer.status, answer.body["error_category"]) == (409, "owned_by_another")


async def test_agents_of_other_interfaces_are_no_nodes(api: Caller) -> None:
    await api.post("/agents/register", {"agent_id": "hello", "agent_type": "worker"})
    assert (await api.get("/api/v1/nodes"))["nodes"] == []
    assert (await api.call("GET", "/api/v1/nodes/hello")).status == 404
    assert (await Node(api, port=1).register()).status == 409
    assert (await Node(api).beat()).status == 404


async def test_nodes_are_listed_in_order_page_by_page(api: Caller) -> None:
    for number, name in enumerate(("b", "a", "c"), 1):
        await Node(api, id=name, port=number).register()
    first = await api.get("/api/v1/nodes?limit=2")
    assert [one["id"] for one in first["nodes"]] == ["a", "b"]
    assert [one["id"] for one in (await api.get("/api/v1/nodes?after=b"))["nodes"]] == ["c"]
    assert (await api.get("/api/v1/nodes?health_status=active"))["count"] == 0


async def test_shutdown_that_names_only_the_agent_finds_the_one_that_left(api: Caller) -> None:
    old, new = Node(api), Node(api, version="2.0.0")
    async with joined(old, new):
        await old.close()
        answer = await api.call("POST", "/api/v1/nodes/hello/shutdown", {"reason": "signal"})
        assert (answer.status, answer.body["message"]) == (202, "shutdown acknowledged")
        async with asyncio.timeout(5):
            while True:
                shown = (await api.get("/api/v1/nodes/hello"))["instances"]
                health = {one["version"]: one["health_status"] for one in shown}
                if health["1.0.0"] != "active":
                    break
                await asyncio.sleep(0.02)
        assert health["2.0.0"] == "active"


async def test_shutdown_that_names_a_version_concerns_only_that(api: Caller) -> None:
    old, new = Node(api), Node(api, version="2.0.0")
    async with joined(old, new):
        await api.post("/api/v1/nodes/hello/shutdown", {"version": "2.0.0"})
        shown = (await api.get("/api/v1/nodes/hello"))["instances"]
        health = {one["version"]: one["health_status"] for one in shown}
        assert health["1.0.0"] == "active"
        assert health["2.0.0"] != "active"
        # The last beats of a process that leaves do not bring it back.
        await new.beat()
        shown = (await api.get("/api/v1/nodes/hello"))["instances"]
        assert {one["version"]: one["health_status"] for one in shown}["2.0.0"] != "active"


@pytest.mark.parametrize("path", ["did/register", "did/resolve/x", "execution/vc", "discovery/capabilities"])
async def test_what_is_not_there_is_a_clean_404(api: Caller, path: str) -> None:
    answer = await api.call("POST", f"/api/v1/{path}", {"agent_node_id": "hello"})
    assert (answer.status, answer.body) == (404, {"error": "Not Found", "error_category": "not_found"})


async def test_what_the_sdk_asks_below_an_agent_is_not_answered_by_the_deployment_interface(
    api: Caller,
) -> None:
    answer = await api.call("POST", "/api/v1/agents/hello/executions/e1/request-approval", {})
    assert (answer.status, answer.body["error_category"]) == (404, "not_found")


async def test_notes_logs_and_steps_are_events_without_inputs_and_results(api: Caller) -> None:
    node = Node(api, port=1)
    await node.register()
    headers = {"X-Execution-ID": "e1", "X-Agent-Node-ID": "hello", "X-Run-ID": "r1"}
    await api.post("/api/v1/executions/note", {"message": "hi", "tags": ["x"]}, headers=headers)
    line = {
        "message": "x" * 20_000,
        "level": "info",
        "agent_node_id": "hello",
        "attributes": {"result": "hush"},
    }
    await api.post("/api/v1/executions/e1/logs", {"entries": [line]})
    step = {"execution_id": "e2", "agent_node_id": "hello", "status": "succeeded", "run_id": "r1"}
    step |= {"input_data": {"a": "hush"}, "result": "hush", "duration_ms": 3, "parent_execution_id": "e1"}
    await api.post("/api/v1/workflow/executions/events", step)
    begun = {"execution_id": "e3", "node_id": "hello", "reasoner_name": "inner", "session_id": None}
    told = await api.post("/api/v1/workflow/executions", begun | {"run_id": "r1"})
    assert (told["execution_id"], told["run_id"], told["workflow_id"]) == ("e3", "r1", "r1")
    events = (await api.get("/events?kind=execution.*"))["events"]
    seen = [(one["kind"], one["task"], one["group"]) for one in events]
    assert seen == [
        ("execution.note", "e1", "hello"),
        ("execution.log", "e1", "hello"),
        ("execution.step", "e2", "hello"),
        ("execution.step", "e3", "hello"),
    ]
    assert "hush" not in repr(events)
    assert len(events[1]["data"]["message"]) < 10_000


async def test_what_agents_tell_is_taken_of_known_agents_from_their_owners_only(plane: Plane) -> None:
    mine, other = await plane.key("fleet:write"), await plane.key("fleet:write")
    await Node(mine, port=1).register()
    note = {"message": "hi", "agent_node_id": "hello"}
    assert (await other.call("POST", "/api/v1/executions/note", note)).status == 409
    unknown = await mine.call("POST", "/api/v1/executions/note", note | {"agent_node_id": "nobody"})
    assert unknown.status == 404
    assert (await mine.call("POST", "/api/v1/executions/note", {"message": "hi"})).status == 404
    assert (await plane.main.get("/events?kind=execution.*"))["events"] == []


async def test_a_listener_of_memory_is_answered_at_once_and_told_of_changes(api: Caller) -> None:
    async with asyncio.timeout(5), api.socket("/api/v1/memory/events/ws") as everything:
        query = "?scope=session&scope_id=s1&patterns=user_*,x"
        async with api.socket(f"/api/v1/memory/events/ws{query}") as some:
            # The subscription begins behind the accept: what is told twice tells that it has begun.
            for socket in (everything, some):
                while True:
                    await set_value(api, "user_0", 0)
                    try:
                        await socket.receive(timeout=0.3)
                        break
                    except TimeoutError:
                        continue
            await set_value(api, "other", 1)
            await set_value(api, "user_1", {"a": [1]})
            await api.post("/api/v1/memory/delete", {"key": "user_1"}, headers={"X-Session-ID": "s1"})
            told: list[dict[str, Any]] = []
            while not told or told[-1]["action"] != "delete":
                told.append(await some.receive_json())
    changes = [(one["key"], one["action"], one["data"]) for one in told if one["key"] != "user_0"]
    assert changes in (
        [("user_1", "set", {"a": [1]}), ("user_1", "delete", None)],
        [("user_1", "set", None), ("user_1", "delete", None)],  # it was gone when it was told
    )


async def set_value(api: Caller, key: str, value: Any) -> None:
    await api.post("/api/v1/memory/set", {"key": key, "data": value}, headers={"X-Session-ID": "s1"})


async def test_a_listener_of_memory_needs_the_scope(plane: Plane) -> None:
    key = await plane.key("fleet:write")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await key.socket("/api/v1/memory/events/ws")
    assert refused.value.status == 403
