"""Agents and the control plane as processes that are killed while calls are under way."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bench.serving import Server

PROGRAM = Path(__file__).parent.parent / "support" / "node_process.py"
LIMIT_S = 60


class Agents:
    """Starts processes of the agent `hello`, and calls it."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.addresses: dict[str, str] = {}

    async def begin(self, version: str, *words: str) -> None:
        command = (sys.executable, str(PROGRAM), self.server.url, version, *words)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        self.processes[version] = process
        assert process.stdout is not None
        self.addresses[version] = (
            (await asyncio.wait_for(process.stdout.readline(), LIMIT_S)).decode().strip()
        )

    async def weigh(self, **weights: int) -> None:
        for version, weight in weights.items():
            name = version[1:].replace("_", ".")
            url = f"{self.server.url}/api/v1/traffic/reasoners/hello/versions/{name}/weight"
            async with self.session.put(url, json={"weight": weight}) as answer:
                assert answer.status == 200, await answer.text()

    async def kill(self, version: str) -> None:
        self.processes[version].kill()
        await self.processes[version].wait()

    async def end(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def call(self) -> tuple[int, Any]:
        url = f"{self.server.url}/api/v1/execute/hello.greet"
        async with self.session.post(url, json={"input": {}}) as answer:
            return answer.status, await answer.json()

    async def begin_call(self) -> str:
        url = f"{self.server.url}/api/v1/execute/async/hello.greet"
        async with self.session.post(url, json={"input": {}}) as answer:
            body = await answer.json()
            assert answer.status == 202, body
            return str(body["execution_id"])

    async def show(self, execution_id: str) -> dict[str, Any]:
        async with self.session.get(f"{self.server.url}/api/v1/executions/{execution_id}") as answer:
            return dict(await answer.json())

    async def end_of(self, execution_id: str) -> dict[str, Any]:
        async with asyncio.timeout(LIMIT_S):
            while True:
                shown = await self.show(execution_id)
                if shown["status"] not in ("queued", "running"):
                    return shown
                await asyncio.sleep(0.1)

    async def seen(self, version: str) -> Counter[str]:
        async with self.session.get(f"{self.addresses[version]}/seen") as answer:
            return Counter(await answer.json())

    async def until_seen(self, version: str, calls: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(await self.seen(version)) < calls:  # noqa: ASYNC110 (another process tells)
                await asyncio.sleep(0.05)

    async def load(self, rate: float, seconds: float, meanwhile: Callable[[], Awaitable[None]]) -> list[Any]:
        """Call at a steady rate; do something in the middle; return all answers."""
        calls: list[asyncio.Task[tuple[int, Any]]] = []
        number = int(rate * seconds)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for index in range(number):
            await asyncio.sleep(max(0.0, began + index / rate - loop.time()))
            calls.append(asyncio.create_task(self.call()))
            if index == number // 2:
                await meanwhile()
        async with asyncio.timeout(LIMIT_S):
            return await asyncio.gather(*calls)


@asynccontextmanager
async def running(data_dir: Path, **settings: object) -> AsyncIterator[Agents]:
    server = Server(data_dir, settings={name.replace("__", "."): value for name, value in settings.items()})
    await asyncio.to_thread(server.start)
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        agents = Agents(server, session)
        stack.push_async_callback(agents.end)
        yield agents


@pytest.mark.parametrize("words", [(), ("promise", "pause=0.05")])
async def test_no_call_of_an_idempotent_function_is_lost_when_a_version_is_killed(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    async with running(tmp_path) as agents:
        await agents.begin("1.0.0", "idempotent", *words)
        await agents.begin("2.0.0", "idempotent", *words)
        await agents.weigh(v1_0_0=500, v2_0_0=500)
        answers = await agents.load(200, 4, lambda: agents.kill("1.0.0"))
        assert Counter(status for status, _ in answers) == {200: 800}
        late = {body["version"] for _, body in answers[-100:]}
        assert late == {"2.0.0"}


async def test_only_what_was_under_way_is_lost_of_other_functions(tmp_path: Path) -> None:
    async with running(tmp_path) as agents:
        await agents.begin("1.0.0", "pause=0.02")
        await agents.begin("2.0.0", "pause=0.02")
        await agents.weigh(v1_0_0=500, v2_0_0=500)
        under_way = 0

        async def kill() -> None:
            nonlocal under_way
            url = f"{agents.server.url}/api/v1/traffic/reasoners/hello/versions"
            async with agents.session.get(url) as answer:
                assert answer.status == 200
            before = await agents.seen("1.0.0")
            await agents.kill("1.0.0")
            under_way = len(before)

        answers = await agents.load(200, 4, kill)
        lost = [body for status, body in answers if status != 200]
        # Twenty milliseconds at a hundred calls a second, and whatever a busy machine adds to them.
        assert len(lost) <= 60
        assert {body["status"] for body in lost} <= {"failed"}
        assert {body["version"] for body in lost} <= {"1.0.0"}
        survivors = await agents.seen("2.0.0")
        assert max(survivors.values()) == 1, "nothing that may not be repeated was sent twice"
        assert {body["execution_id"] for body in lost}.isdisjoint(survivors)
        assert under_way > 0


async def test_a_killed_control_plane_goes_on_where_it_was(tmp_path: Path) -> None:
    async with running(tmp_path) as agents:
        await agents.begin("1.0.0", "promise", "pause=1.5")
        begun = [await agents.begin_call() for _ in range(20)]
        await agents.until_seen("1.0.0", 20)
        agents.server.kill()
        await asyncio.to_thread(agents.server.start)
        ended = [await agents.end_of(one) for one in begun]
        assert Counter(one["status"] for one in ended) == {"succeeded": 20}
        assert {one["version"] for one in ended} == {"1.0.0"}
        assert set((await agents.seen("1.0.0")).values()) == {1}
        assert (await agents.call())[0] == 200


async def test_a_killed_control_plane_takes_back_what_nobody_can_report(tmp_path: Path) -> None:
    async with running(tmp_path, traffic__drain_grace_s=2) as agents:
        await agents.begin("1.0.0", "pause=3")
        begun = await agents.begin_call()
        await agents.until_seen("1.0.0", 1)
        agents.server.kill()
        await asyncio.to_thread(agents.server.start)
        lost = await agents.end_of(begun)
        assert (lost["status"], lost["status_reason"], lost["version"]) == ("failed", "lost", "1.0.0")
        assert (await agents.seen("1.0.0")) == {begun: 1}


async def test_weights_and_versions_survive_a_killed_control_plane(tmp_path: Path) -> None:
    async with running(tmp_path) as agents:
        await agents.begin("1.0.0")
        await agents.begin("2.0.0")
        await agents.weigh(v2_0_0=100)
        agents.server.kill()
        await asyncio.to_thread(agents.server.start)
        versions = Counter([(await agents.call())[1]["version"] for _ in range(50)])
        assert versions == {"1.0.0": 45, "2.0.0": 5}
