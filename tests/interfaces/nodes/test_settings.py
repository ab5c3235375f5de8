"""What the settings say of agents' traffic holds over HTTP: limits and first weights."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from stellwerk.settings import Settings, TrafficSettings
from support.node import Node, joined
from support.plane import Caller, running_plane

GREET = "/api/v1/execute/hello.greet"
LATER = "/api/v1/execute/async/hello.greet"
NAME = {"input": {"name": "ada"}}


@asynccontextmanager
async def api_with(folder: Path, **traffic: Any) -> AsyncIterator[Caller]:
    settings = replace(Settings(), traffic=TrafficSettings(**traffic))
    async with running_plane(folder / "data", settings) as plane:
        yield plane.main


async def test_past_its_limit_an_agents_caller_is_told_to_come_back_and_others_are_queued(
    tmp_path: Path,
) -> None:
    may_answer = asyncio.Event()

    async def wait(node: Node, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
        await may_answer.wait()
        return web.json_response({"hello": given["name"]})

    async with api_with(tmp_path, concurrency=2) as api:
        node = Node(api, handle=wait)
        async with joined(node):
            running = [asyncio.create_task(api.call("POST", GREET, NAME)) for _ in range(2)]
            for _ in running:
                await asyncio.wait_for(node.arrived.get(), 10)
            refused = await api.call("POST", GREET, NAME)
            assert (refused.status, refused.body["error_category"]) == (429, "concurrency_limit")
            assert int(refused.headers["retry-after"]) >= 1
            queued = await api.call("POST", LATER, NAME)
            assert (queued.status, queued.body["status"]) == (202, "queued")
            assert len(node.calls) == 2
            may_answer.set()
            assert [(await one).status for one in running] == [200, 200]
            await asyncio.wait_for(node.arrived.get(), 10)
            assert len(node.calls) == 3


async def test_an_agents_own_limit_goes_before_the_setting(tmp_path: Path) -> None:
    may_answer = asyncio.Event()

    async def wait(node: Node, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
        await may_answer.wait()
        return web.json_response({})

    async with api_with(tmp_path) as api:
        node = Node(api, handle=wait)
        async with joined(node):
            options = {"concurrency": 1}
            assert (await api.call("PATCH", "/api/v1/traffic/reasoners/hello", options)).status == 200
            running = asyncio.create_task(api.call("POST", GREET, NAME))
            await asyncio.wait_for(node.arrived.get(), 10)
            assert (await api.call("POST", GREET, NAME)).status == 429
            may_answer.set()
            assert (await running).status == 200


async def test_both_first_weights_are_settings(tmp_path: Path) -> None:
    async with (
        api_with(tmp_path, first_weight=300, later_weight=100) as api,
        joined(Node(api), Node(api, version="2.0.0")),
    ):
        shown = (await api.get("/api/v1/traffic/reasoners/hello/versions"))["versions"]
        assert {one["version"]: one["traffic_weight"] for one in shown} == {"1.0.0": 300, "2.0.0": 100}
        answers = [await api.call("POST", GREET, NAME) for _ in range(20)]
        counted = Counter(answer.headers["x-routed-version"] for answer in answers)
        assert counted == {"1.0.0": 15, "2.0.0": 5}
