"""What engines answer to a pull, and what we believe of it; an engine that is not there."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stellwerk.agent.executors import available
from stellwerk.agent.executors.executor import Cancelled, Failed, Job, Result, TimedOut, within
from stellwerk.agent.executors.settings import ExecutorSettings

DIGEST = "sha256:" + "a" * 64
IMAGE = f"r.example/shop/web@{DIGEST}"


class Silent:
    """A report that nobody reads."""

    def progress(self, percent: int, message: str = "") -> None: ...

    def log(self, level: str, message: str) -> None: ...


@dataclass
class FakeEngine:
    """As much of an engine as a pull needs; answers what a test tells it to."""

    pulled: list[dict[str, Any]]
    repo_digests: list[str]
    present: bool = False
    asked: list[web.Request] = field(default_factory=list)
    hang: asyncio.Event | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def application(self) -> web.Application:
        made = web.Application()
        made.router.add_get("/_ping", self.ping)
        made.router.add_post("/v1.41/images/create", self.create)
        made.router.add_get("/v1.41/images/{name:.+}/json", self.image)
        return made

    async def ping(self, request: web.Request) -> web.Response:
        return web.Response(headers={"Api-Version": "1.41"})

    async def create(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"".join(json.dumps(line).encode() for line in self.pulled))
        if self.hang:
            try:
                self.hang.set()
                await asyncio.sleep(60)
            finally:
                self.gone.set()
        self.present = True
        return answer

    async def image(self, request: web.Request) -> web.Response:
        if not self.present:
            return web.json_response({"message": "No such image"}, status=404)
        return web.json_response({"Id": "sha256:id", "RepoDigests": self.repo_digests, "Size": 7})


async def pull(engine: FakeEngine, socket: Path, cancelled: asyncio.Event | None = None) -> Result:
    """Serve the engine on a socket and pull from it."""
    runner = web.AppRunner(engine.application(), handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        executor = available(ExecutorSettings(socket.parent, f"unix://{socket}"))["docker.pull"]
        credentials = {"registry.username": "user", "registry.password": "word"}
        job = Job("t", 1, "docker.pull", {"image": IMAGE}, credentials, timeout_s=20)
        return await executor.run(job, Silent(), cancelled or asyncio.Event())
    finally:
        await runner.cleanup()


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an engine listens; short, because paths of sockets are."""
    return tmp_path_factory.mktemp("e") / "s"


async def test_a_pull_carries_the_credentials_and_is_believed_with_the_right_digest(socket: Path) -> None:
    engine = FakeEngine([{"status": "Pulling"}, {"status": "done", "id": "1"}], ["x@sha256:1", IMAGE])
    result = await pull(engine, socket)
    assert result == {"imageId": "sha256:id", "repoDigest": IMAGE, "sizeBytes": 7, "cached": False}
    header = json.loads(base64.urlsafe_b64decode(engine.asked[0].headers["X-Registry-Auth"]))
    assert header == {"username": "user", "password": "word", "serveraddress": "r.example"}


@pytest.mark.parametrize(
    ("said", "error_type"),
    [
        ("unauthorized: authentication required", "registry.unauthorized"),
        ("manifest unknown", "image.not_found"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "registry.unreachable"),
        ("no space left on device", "image.pull_failed"),
    ],
)
async def test_an_error_in_the_stream_of_a_200_fails_the_pull(
    socket: Path, said: str, error_type: str
) -> None:
    engine = FakeEngine([{"status": "Pulling"}, {"error": said}], [IMAGE], present=True)
    with pytest.raises(Failed) as end:
        await pull(engine, socket)
    assert end.value.error_type == error_type


async def test_a_pull_that_brought_another_digest_is_not_believed(socket: Path) -> None:
    engine = FakeEngine([{"status": "done"}], [f"other.example/shop/web@{DIGEST}"])
    with pytest.raises(Failed) as end:
        await pull(engine, socket)
    assert end.value.error_type == "image.digest_mismatch"


async def test_a_cancelled_pull_hangs_up_on_the_engine(socket: Path) -> None:
    cancelled, engine = asyncio.Event(), FakeEngine([], [IMAGE], hang=asyncio.Event())
    working = asyncio.ensure_future(pull(engine, socket, cancelled))
    assert engine.hang
    await asyncio.wait_for(engine.hang.wait(), 10)
    cancelled.set()
    with pytest.raises(Cancelled):
        await working
    await asyncio.wait_for(engine.gone.wait(), 10)


async def test_an_engine_that_is_not_there_is_told_and_may_come_back(tmp_path: Path) -> None:
    executor = available(ExecutorSettings(tmp_path, f"unix://{tmp_path}/none"))["docker.pull"]
    assert "does not answer" in (await executor.ready() or "")
    with pytest.raises(Failed) as end:
        await executor.run(Job("t", 1, "docker.pull", {"image": IMAGE}), Silent(), asyncio.Event())
    assert (end.value.error_type, end.value.retriable) == ("docker.unreachable", True)


async def test_work_has_ended_when_its_cancellation_or_timeout_is_told() -> None:
    ended = []

    async def work(begun: asyncio.Event) -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    cancelled = asyncio.Event()
    with pytest.raises(Cancelled):
        await within(Job("t", 1, "x", {}), cancelled, work(cancelled))
    with pytest.raises(TimedOut):
        await within(Job("t", 1, "x", {}, timeout_s=0.01), asyncio.Event(), work(asyncio.Event()))
    assert ended == [True, True]


async def test_work_of_a_task_that_is_cancelled_already_is_not_begun() -> None:
    cancelled, begun = asyncio.Event(), []

    async def work() -> None:
        begun.append(True)

    cancelled.set()
    with pytest.raises(Cancelled):
        await within(Job("t", 1, "x", {}), cancelled, work())
    assert begun == []


async def test_a_caller_that_is_cancelled_twice_stays_cancelled() -> None:
    begun, ending = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            ending.set()
            await asyncio.sleep(0.05)

    caller = asyncio.ensure_future(within(Job("t", 1, "x", {}), asyncio.Event(), work()))
    await begun.wait()
    caller.cancel()
    await ending.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
