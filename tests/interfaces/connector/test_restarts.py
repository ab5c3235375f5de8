"""Restarts on the wire: refused, waited for, looked up later. Real processes are in `tests/e2e`."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from interfaces.connector.conftest import EVERYTHING, PREFIXES, Site
from support.node import Node
from support.plane import Answer

SUPERVISED = {"supervisor": {"kind": "test"}}


async def restart(
    site: Site, of: str = "hello/versions/2.0.0", prefix: str = "/connector", query: str = ""
) -> Answer:
    return await site.caller.call("POST", f"{prefix}/reasoners/{of}/restart{query}")


async def supervised(site: Site, comes_back: bool = True) -> tuple[Node, list[Any]]:
    """Let version 3 join, whose process answers `/shutdown` and comes back."""
    asked: list[Any] = []
    application = web.Application()
    node = Node(site.api, version="3.0.0")

    async def shutdown(request: web.Request) -> web.Response:
        asked.append((request.headers["content-type"], await request.json()))
        if comes_back:
            again = Node(site.api, version="3.0.0", port=node.port)

            async def come() -> None:
                await again.register()
                await again.beat()

            node.later(come())
        return web.json_response({"status": "shutting_down", "graceful": True}, status=202)

    application.router.add_post("/shutdown", shutdown)
    runner = web.AppRunner(application, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    node.port = runner.addresses[0][1]
    node._runner = runner
    await node.register()
    await node.beat()
    return node, asked


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_restart_is_answered_when_the_version_is_back(site: Site, prefix: str) -> None:
    node, asked = await supervised(site)
    await site.caller.call("PATCH", "/connector/reasoners/hello", SUPERVISED)
    answer = await restart(site, "hello/versions/3.0.0", prefix)
    await node.close()
    assert answer.status == 200, answer
    body = answer.body
    assert (body["success"], body["id"], body["version"], body["state"]) == (
        True,
        "hello",
        "3.0.0",
        "restarted",
    )
    assert body["restarted_at"] == body["finished_at"] > body["requested_at"]
    (step,) = body["instances"]
    assert step["instance_id"] == node.instance != step["replaced_by"]
    assert asked == [("application/json", {"graceful": True, "timeout_seconds": 5})]
    shown = await site.caller.get(f"{prefix}/reasoners/hello/restarts/{body['restart_id']}")
    assert shown == body
    assert await site.caller.get(f"{prefix}/reasoners/hello/restarts") == {"restarts": [body], "total": 1}


async def test_who_does_not_wait_is_told_where_to_look_and_one_that_stays_away_timed_out(site: Site) -> None:
    node, asked = await supervised(site, comes_back=False)
    await site.caller.call("PATCH", "/connector/reasoners/hello", SUPERVISED)
    begun = await restart(site, "hello/versions/3.0.0", query="?wait_s=0")
    assert begun.status == 202, begun
    assert (begun.body["success"], begun.body["state"], begun.body["restarted_at"]) == (
        True,
        "requested",
        None,
    )
    again = await restart(site, "hello/versions/3.0.0")
    assert (again.status, again.body["error"]) == (409, "restart_under_way")
    path = f"/connector/reasoners/hello/restarts/{begun.body['restart_id']}"
    for _ in range(100):
        shown = await site.caller.get(path)
        if shown["finished_at"]:
            break
        await asyncio.sleep(0.1)
    await node.close()
    assert (shown["state"], shown["success"], shown["restarted_at"]) == ("timed_out", False, None)
    assert len(asked) == 1


async def test_an_agent_without_the_published_endpoint_is_a_bad_gateway(site: Site) -> None:
    await site.caller.call("PATCH", "/connector/reasoners/hello", SUPERVISED)
    answer = await restart(site)
    assert (answer.status, answer.body["state"]) == (502, "failed")
    assert "answered 404 to POST /shutdown" in answer.body["detail"]
    assert (await site.caller.get("/connector/reasoners/hello/versions/2.0.0"))["health_status"] == "active"


async def test_refused_restarts_ask_nobody_unless_they_are_forced(site: Site) -> None:
    for of in ("hello", "hello/versions/2.0.0"):
        refused = await restart(site, of)
        assert (refused.status, refused.body["error"]) == (409, "no_supervisor")
    await site.caller.call("PATCH", "/connector/reasoners/hello", SUPERVISED)
    await site.caller.put("/connector/reasoners/hello/weights", {"weights": {"2.0.0": 0}})
    for of in ("hello", "hello/versions/1.0.0"):
        refused = await restart(site, of)
        assert (refused.status, refused.body["error"]) == (409, "last_healthy_instance")
    assert (await restart(site, "nobody")).body == {"error": "agent not found"}
    assert (await restart(site, "hello/versions/9.9.9")).body == {"error": "agent version not found"}
    assert (await restart(site, query="?force=perhaps")).status == 400
    assert (await restart(site, query="?wait_s=-1")).status == 400
    assert (await site.caller.call("GET", "/connector/reasoners/hello/restarts/rst_x")).status == 404
    assert (site.one.dialled, site.two.dialled) == ([], [])
    assert (await site.caller.get("/connector/reasoners/hello/restarts"))["total"] == 0
    forced = await restart(site, "hello/versions/1.0.0", query="?force=true")
    assert forced.status == 502  # Its process does not have the endpoint: it was asked.


async def test_restarting_needs_its_own_capability(site: Site) -> None:
    caller = await site.connector(*(name for name in EVERYTHING if name != "restart"))
    answer = await caller.call("POST", "/connector/reasoners/hello/versions/2.0.0/restart?force=true")
    assert (answer.status, answer.body["required"]) == (403, "restart")
    assert site.two.dialled == []
