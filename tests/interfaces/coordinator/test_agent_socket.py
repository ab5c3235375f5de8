"""The agent's WebSocket: delivery, reports, reconnects, refusals and ends."""

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from stellwerk.http import duplex, outbox, websocket
from stellwerk.interfaces.coordinator import agent_sockets
from stellwerk.settings import Settings
from support.plane import Caller, Plane, running_plane

from .frames import connected, finished, register, state, submit

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def quick(**work: float) -> Settings:
    """Settings with short times for the queue."""
    settings = Settings()
    return replace(settings, work=replace(settings.work, **work))


async def refusal(api: Caller, path: str) -> tuple[int, str]:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with api.socket(path):
            pass
    answer = await api.call("GET", path)
    return refused.value.status, answer.body["detail"] if isinstance(answer.body, dict) else ""


async def test_connected_agent_is_given_a_task_and_completes_it(api: Caller):
    await register(api)
    async with connected(api) as agent:
        task_id = await submit(api, task_data={"task_type": "sum", "numbers": [1, 2]})
        assigned = await agent.expect("task_assigned", task_id=task_id)
        assert assigned["task_data"] == {"task_type": "sum", "numbers": [1, 2]}
        mark = {"task_id": task_id, "lease": assigned["lease"]}
        await agent.send({"type": "accept", **mark})
        assert (await agent.expect("task_started", **mark))["state"] == "running"
        await agent.send({"type": "complete", **mark, "result": {"sum": 3}})
        settled = await agent.expect("task_settled", **mark)
        assert (settled["state"], settled["duplicate"]) == ("succeeded", False)
    assert (await finished(api, task_id))["result"] == {"sum": 3}


async def test_waiting_task_is_delivered_when_a_matching_agent_connects(api: Caller):
    task_id = await submit(api, requirements={"capabilities": ["gpu"]})
    await register(api, "plain")
    await register(api, "strong", capabilities=["gpu"])
    async with connected(api, "plain") as plain, connected(api, "strong") as strong:
        await strong.expect("task_assigned", task_id=task_id)
        assert not plain.kept


async def test_task_is_completed_without_an_accept(api: Caller):
    await register(api)
    async with connected(api) as agent:
        task_id = await submit(api)
        assigned = await agent.expect("task_assigned")
        await agent.send({"type": "complete", "task_id": task_id, "lease": assigned["lease"], "result": 1})
        assert (await agent.expect("task_settled"))["state"] == "succeeded"


async def test_repeated_result_is_acknowledged_and_another_one_refused(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send({"type": "complete", **mark, "result": 1})
        assert not (await agent.expect("task_settled", **mark))["duplicate"]
        await agent.send({"type": "complete", **mark, "result": 1})
        assert (await agent.expect("task_settled", **mark))["duplicate"]
        await agent.send({"type": "complete", **mark, "result": 2})
        assert (await agent.expect("error", **mark))["code"] == "conflicting_result"


async def test_frames_of_one_message_are_carried_out_in_order(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send(
            {"type": "accept", **mark},
            {"type": "progress", **mark, "progress": 0.5, "note": "half"},
            {"type": "log", **mark, "lines": [{"seq": 1, "line": "began"}]},
            {"type": "complete", **mark},
        )
        await agent.expect("task_settled", **mark)
    task = (await api.get(f"/tasks/{mark['task_id']}"))["task"]
    assert (task["progress"], task["progress_note"], task["result"]) == (0.5, "half", None)
    lines = (await api.get(f"/tasks/{mark['task_id']}/logs"))["lines"]
    assert [(line["seq"], line["line"]) for line in lines] == [(1, "began")]


async def test_failed_attempt_is_queued_again(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send({"type": "fail", **mark, "error": "no luck", "retryable": True})
        assert (await agent.expect("task_settled", **mark))["state"] == "queued"


async def test_cancellation_reaches_the_agent_and_is_confirmed(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send({"type": "accept", **mark})
        await agent.expect("task_started", **mark)
        assert (await api.post(f"/tasks/{mark['task_id']}/cancel"))["state"] == "cancelling"
        await agent.expect("task_cancel", **mark, reason="cancelled")
        # Said again, should the first word have been lost.
        await agent.send({"type": "progress", **mark, "progress": 0.5})
        await agent.expect("task_cancel", **mark, reason="cancelled")
        await agent.send({"type": "cancelled", **mark})
        assert (await agent.expect("task_settled", **mark))["state"] == "cancelled"


async def test_agent_is_told_that_the_time_of_its_task_is_over(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api, timeout_s=1.0), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send({"type": "accept", **mark})
        await agent.expect("task_cancel", **mark, reason="timed_out")
    # And to one that was not there, when it comes back.
    async with connected(api) as agent:
        await agent.send({"type": "hello", "held": [mark]})
        await agent.expect("task_cancel", **mark, reason="timed_out")
    told = {"agent_id": "a1", "lease": 1, "progress": 0.9}
    standing = await api.post(f"/tasks/{mark['task_id']}/progress", told)
    assert (standing["state"], standing["reason"]) == ("cancelling", "timed_out")


async def test_lease_that_is_not_held_is_reported_lost(api: Caller):
    await register(api)
    async with connected(api) as agent:
        await agent.send({"type": "hello", "held": [{"task_id": "unknown", "lease": 3}]})
        await agent.expect("lease_lost", task_id="unknown", lease=3)
        await agent.send({"type": "complete", "task_id": "unknown", "lease": 3, "result": 1})
        await agent.expect("lease_lost", task_id="unknown", lease=3)


async def test_reconnected_agent_keeps_what_it_works_on(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send({"type": "accept", **mark})
        await agent.expect("task_started", **mark)
    async with connected(api) as agent:
        await agent.send({"type": "hello", "held": [mark]})
        await agent.send({"type": "complete", **mark, "result": "done"})
        assert (await agent.expect("task_settled", **mark))["state"] == "succeeded"


async def test_reconnected_agent_is_sent_again_what_it_never_got(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
    async with connected(api) as agent:
        await agent.send({"type": "hello", "held": []})
        await agent.expect("task_assigned", **mark)


async def test_begun_task_that_a_restarted_agent_lost_is_given_out_again(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send({"type": "accept", **mark})
        await agent.expect("task_started", **mark)
    async with connected(api) as agent:
        await agent.send({"type": "hello", "held": []})
        await agent.expect("task_assigned", task_id=mark["task_id"], lease=2)


async def test_begun_task_that_may_run_only_once_is_not_given_out_again(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api, repeatable=False), "lease": 1}
        await agent.expect("task_assigned", **mark)
        await agent.send({"type": "accept", **mark})
        await agent.expect("task_started", **mark)
    async with connected(api) as agent:
        await agent.send({"type": "hello", "held": []}, {"type": "heartbeat"})
        await agent.expect("heartbeat_ack")
        async with asyncio.timeout(5):
            while await state(api, mark["task_id"]) == "running":  # noqa: ASYNC110 (only asking tells)
                await asyncio.sleep(0.01)
        assert agent.kept == []
    assert await state(api, mark["task_id"]) == "failed"


async def test_second_connection_of_an_instance_replaces_the_first(api: Caller):
    await register(api)
    async with connected(api) as first, connected(api) as second:
        assert await first.closed() == 4409
        task_id = await submit(api)
        await second.expect("task_assigned", task_id=task_id)


async def test_heartbeat_reports_status_and_load(api: Caller):
    await register(api)
    async with connected(api) as agent:
        await agent.send({"type": "heartbeat", "status": "maintenance", "load_metrics": {"cpu_usage": 0.5}})
        await agent.expect("heartbeat_ack")
        shown = (await api.get("/agents/a1"))["agent"]
        assert (shown["status"], shown["load_metrics"]) == ("maintenance", {"cpu_usage": 0.5})
        await submit(api)
        await agent.send({"type": "heartbeat", "status": "sleepy"})
        assert (await agent.expect("error"))["detail"] == "'sleepy' is not a valid AgentStatus"
        assert agent.kept == []


async def test_capacity_of_the_connection_bounds_what_is_given(api: Caller):
    await register(api)
    async with connected(api, query="?max_concurrency=1") as agent:
        first, second = await submit(api), await submit(api)
        assigned = await agent.expect("task_assigned", task_id=first)
        await agent.send({"type": "heartbeat"})
        await agent.expect("heartbeat_ack")
        assert agent.kept == []
        await agent.send({"type": "complete", "task_id": first, "lease": assigned["lease"], "result": 0})
        await agent.expect("task_assigned", task_id=second)


async def test_removed_agent_is_disconnected(api: Caller):
    await register(api)
    async with connected(api) as agent:
        await api.delete("/agents/a1")
        assert await agent.closed() == 4404


async def test_goodbye_ends_the_connection_and_keeps_the_registration(api: Caller):
    await register(api)
    async with connected(api) as agent:
        await agent.send({"type": "goodbye"})
        assert await agent.closed() == 1000
    assert (await api.get("/agents/a1"))["agent"]["status"] == "active"


async def test_faulty_frames_are_answered_and_too_many_of_them_end_the_connection(api: Caller):
    await register(api)
    deep = "[" * 100_000
    async with connected(api) as agent:
        for text in (
            "{",
            '{"type":"dance"}',
            '{"type":"accept"}',
            '"x"',
            deep,
            '{"type":"accept","task_id":1}',
        ):
            await agent.socket.send_str(text)
            await agent.expect("error", code="invalid")
        await agent.send({"type": "heartbeat"})
        await agent.expect("heartbeat_ack")
        for _ in range(20):
            await agent.socket.send_str("{")
        assert await agent.closed() == 1008


async def test_result_that_no_body_could_have_is_refused(api: Caller):
    await register(api)
    async with connected(api) as agent:
        mark = {"task_id": await submit(api), "lease": 1}
        await agent.expect("task_assigned", **mark)
        for result in ("[" * 100 + "]" * 100, '{"a":1,"a":2}', '{"a":1e999}'):
            start = f'"type":"complete","task_id":"{mark["task_id"]}","lease":1'
            await agent.socket.send_str(f'{{{start},"result":{result}}}')
            assert (await agent.expect("error", **mark))["code"] == "invalid_json"
        await agent.send({"type": "complete", **mark, "result": "x" * 1_048_576})
        assert (await agent.expect("error", **mark))["code"] == "too_large"
    assert await state(api, mark["task_id"]) == "leased"


async def test_connection_is_refused_before_it_is_accepted(plane: Plane):
    api = plane.main
    await register(api)
    assert (await refusal(api, "/agents/nobody/ws"))[0] == 404
    assert (await refusal(api, "/agents/a1/ws?instance_id=other"))[0] == 404
    assert (await refusal(api, "/agents/a1/ws?max_concurrency=0"))[0] == 422
    assert (await refusal(api, "/tasks/ws"))[0] == 404
    reader = await plane.key("fleet:read")
    assert (await refusal(reader, "/agents/a1/ws"))[0] == 403
    stranger = await plane.key("tasks:work", "fleet:write")
    assert (await refusal(stranger, "/agents/a1/ws"))[0] == 409
    assert (await refusal(api.with_key("sw_no_key"), "/agents/a1/ws"))[0] == 401


async def test_stopping_server_says_so_and_closes_with_1012(tmp_path: Path):
    async with running_plane(tmp_path / "data") as plane:
        await register(plane.main)
        async with connected(plane.main) as agent:
            stopping = asyncio.create_task(plane.control.stop())
            await agent.expect("draining")
            assert await agent.closed() == 1012
            await stopping


async def test_lost_connection_gives_the_task_to_another_after_the_grace(tmp_path: Path):
    settings = quick(reconnect_grace_s=0.2, sweep_s=0.05, retry_base_s=0.1)
    async with running_plane(tmp_path / "data", settings) as plane:
        api = plane.main
        await register(api, "a1")
        await register(api, "a2")
        async with connected(api, "a1") as first:
            mark = {"task_id": await submit(api), "lease": 1}
            await first.expect("task_assigned", **mark)
            await first.send({"type": "accept", **mark})
            await first.expect("task_started", **mark)
        async with connected(api, "a2") as second:
            await second.expect("task_assigned", task_id=mark["task_id"], lease=2)


async def test_agent_that_does_not_read_is_cut_off_and_its_tasks_go_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox, "PATIENCE_S", 1.0)
    monkeypatch.setattr(agent_sockets, "CHECK_S", 0.05)
    monkeypatch.setattr(duplex, "CLOSE_S", 0.05)
    monkeypatch.setattr(websocket, "CUT_AFTER_S", 0.05)
    async with running_plane(tmp_path / "data", quick(ack_deadline_s=0.5, sweep_s=0.05)) as plane:
        await leave_a_deaf_agent_behind(plane.main)


async def leave_a_deaf_agent_behind(api: Caller):
    await register(api, "deaf")
    await register(api, "keen")
    reader, writer = await asyncio.open_connection(*api.url.removeprefix("http://").split(":"), limit=1024)
    writer.write(HANDSHAKE.format(path="/agents/deaf/ws?max_concurrency=30").encode())
    await reader.readuntil(b"\r\n\r\n")
    # Nothing is read from here on; the buffers between the two take some megabytes.
    tasks = [await submit(api, task_data={"padding": "x" * 900_000}) for _ in range(20)]
    async with asyncio.timeout(20), connected(api, "keen", "?max_concurrency=30") as keen:
        for task_id in tasks:
            await keen.expect("task_assigned", task_id=task_id)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(10):
            await reader.readexactly(2**30)
    writer.close()
