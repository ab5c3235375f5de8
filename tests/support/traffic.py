"""Traffic for tests: the subject over a real database, and agents behind real sockets, on a clock that stands
still unless it is moved."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from stellwerk.database.database import Database
from stellwerk.fleet.model import BASE_URL, NODES, Condition, Presence, Registration
from stellwerk.fleet.service import Fleet
from stellwerk.http.outbound import Outbound
from stellwerk.interfaces.nodes.dialler import OutboundDialler
from stellwerk.interfaces.nodes.telling import WebhookTeller
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import (
    FleetSettings,
    JournalSettings,
    OutboundSettings,
    TrafficSettings,
    WorkSettings,
)
from stellwerk.traffic.execution import (
    Call,
    Execution,
    Report,
    Reported,
    Status,
    Target,
    Told,
    WebhookState,
)
from stellwerk.traffic.service import Traffic
from stellwerk.traffic.webhook import Address
from stellwerk.traffic.webhooks import Webhooks
from stellwerk.trust.principal import LOCAL
from stellwerk.work.service import Work
from support.clock import FakeClock

GREET = Target("hello", "greet")
KEY = bytes(32)
"""Seals what is kept of webhooks; replicas share it."""
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """One replica of the control plane, as far as traffic goes."""

    def __init__(self, database: Database, clock: FakeClock, **settings: Any) -> None:
        self.database = database
        self.clock = clock
        self.settings = TrafficSettings(**{"wait_s": 10.0, "listen_grace_s": 1.0, **settings})
        self.journal = Journal(database, JournalSettings(), clock)
        self.fleet = Fleet(database, self.journal, FleetSettings(), clock)
        self.work = Work(database, self.journal, self.fleet, WorkSettings(retry_base_s=0.01), clock)
        limits = OutboundSettings(
            total_timeout_s=self.settings.answer_s, response_bytes=self.settings.answer_bytes
        )
        self.outbound = Outbound(limits, connections=0)
        self.traffic = Traffic(
            database,
            self.journal,
            self.fleet,
            self.work,
            OutboundDialler(self.outbound),
            settings=self.settings,
            clock=clock,
        )
        self.webhooks = Webhooks(
            database,
            self.journal,
            self.work,
            WebhookTeller(OutboundDialler(self.outbound), self.settings.webhook_timeout_s),
            key=KEY,
            settings=self.settings,
            clock=clock,
        )
        self.subjects = (self.fleet, self.work, self.outbound, self.traffic, self.webhooks)

    async def start(self) -> "Site":
        for subject in self.subjects:
            await subject.start()
        return self

    async def stop(self) -> None:
        for subject in reversed(self.subjects):
            await subject.stop()
        await self.journal.stop()

    async def crash(self) -> None:
        """Be gone without a word to the agents: connections break, nothing more is written."""
        self.traffic._launching.break_off()
        self.traffic._watch._flights = type(self.traffic._flights)()
        await self.stop()

    async def execute(self, **said: Any) -> Execution:
        """Call `hello.greet` and wait for its end."""
        return await self.traffic.execute(LOCAL, call(**said))

    async def begin(self, **said: Any) -> Execution:
        return await self.traffic.begin(LOCAL, call(**said))

    async def end_of(self, execution_id: str) -> Execution:
        """Wait until an execution has ended."""
        return await self.until(execution_id, lambda one: one.finished)

    async def until(self, execution_id: str, condition: Callable[[Execution], bool]) -> Execution:
        """Wait until an execution stands in some way."""
        async with asyncio.timeout(20):
            while True:
                found = await self.traffic.execution(execution_id)
                assert found is not None
                if condition(found):
                    return found
                await asyncio.sleep(0.02)

    async def begin_told(self, url: str, *, secret: str | None = None, **said: Any) -> Execution:
        """Have `hello.greet` called, and somebody told of its end."""
        headers = said.pop("hook_headers", {})
        begun = await self.begin(webhook=self.webhooks.seal(Address(url, secret, headers)), **said)
        self.webhooks.registered(begun)
        return begun

    async def told(self, execution_id: str, state: WebhookState) -> Told:
        """Wait until the telling of an end stands in some way."""

        def stands(one: Execution) -> bool:
            return one.webhook is not None and one.webhook.state is state

        found = (await self.until(execution_id, stands)).webhook
        assert found is not None
        return found

    async def report(self, execution_id: str, **said: Any) -> Reported:
        return await self.traffic.report(LOCAL, execution_id, report(**said))

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and what follows from it here."""
        self.clock.advance(seconds)
        await self.work.sweeper.sweep()
        await self.traffic._watch.turn()


class Process:
    """One process of an agent, behind a socket of its own."""

    def __init__(self, site: Site, version: str = "1.0.0", name: str | None = None) -> None:
        self.site = site
        self.version = version
        self.name = name or f"process-{version}"
        self.calls: list[tuple[dict[str, str], Any]] = []
        """Headers and bodies of the calls."""
        self.paths: list[str] = []
        self.cancelled: list[str] = []
        self.stoppable = True
        self.status = "running"
        self.answer: Answering = self.inline
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ids(self) -> list[str]:
        """Ids of the executions that it was sent."""
        return [headers["X-Execution-ID"] for headers, _ in self.calls]

    async def listen(self) -> "Process":
        application = web.Application()
        application.router.add_post("/reasoners/{name}", self._called)
        application.router.add_post("/skills/{name}", self._called)
        application.router.add_post("/_internal/executions/{id}/cancel", self._cancel)
        application.router.add_get("/status", self._status)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def join(self, *, ready: bool = True, tags: tuple[str, ...] = (), **said: Any) -> "Process":
        await self.site.fleet.register(
            LOCAL,
            Registration(
                **{
                    "group": "hello",
                    "joined_through": NODES,
                    "kind": "node",
                    "instance": self.name,
                    "version": self.version,
                    "endpoints": {BASE_URL: self.url},
                    "metadata": {
                        "reasoners": [{"id": "greet", "tags": list(tags)}],
                        "skills": [{"id": "add", "tags": list(tags)}],
                    },
                    "condition": Condition.ACTIVE if ready else Condition.INACTIVE,
                    "first_weight": 900,
                    **said,
                }
            ),
        )
        return self

    async def beat(self) -> None:
        await self.site.fleet.heartbeat(LOCAL, "hello", self.name)
        self.site.traffic.heard("hello", self.name)

    async def die(self) -> None:
        """Be gone: connections break, and nobody listens any more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def inline(self, request: web.Request) -> web.StreamResponse:
        """Answer with what was sent, and the version."""
        return web.json_response({"version": self.version, "got": self.calls[-1][1]})

    async def promise(self, request: web.Request) -> web.StreamResponse:
        """Promise to report."""
        return web.json_response({"status": "processing"}, status=202)

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Never answer."""
        await asyncio.Event().wait()
        raise AssertionError

    async def _called(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.calls.append((dict(request.headers), msgspec.json.decode(await request.read())))
        return await self.answer(request)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        self.cancelled.append(request.match_info["id"])
        return web.json_response({"cancelled": self.stoppable})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": self.status})


class Receiver:
    """Somebody who wants to be told of the ends of executions, behind a socket of its own."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        """Headers and bodies of the calls."""
        self.answers: list[int | Answering] = []
        """What the next calls are answered with; 200 when there is no more."""
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/done"

    async def listen(self) -> "Receiver":
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/done", self._called)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def hear(self) -> Any:
        """Wait for the next call; return what it said."""
        return msgspec.json.decode(await asyncio.wait_for(self.arrived.get(), 20))

    async def _called(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.told.append((dict(request.headers), body))
        self.arrived.put_nowait(body)
        answer = self.answers.pop(0) if self.answers else 200
        return web.Response(status=answer) if isinstance(answer, int) else await answer(request)


@asynccontextmanager
async def open_site(database: Database, **settings: Any) -> AsyncIterator[Site]:
    """A started replica."""
    site = await Site(database, FakeClock(), **settings).start()
    try:
        yield site
    finally:
        await site.stop()


async def begin_process(
    site: Site, processes: list[Process], version: str = "1.0.0", name: str | None = None, **said: Any
) -> Process:
    process = await Process(site, version, name).listen()
    processes.append(process)
    return await process.join(**said)


async def kinds(site: Site, execution_id: str) -> list[str]:
    page = await site.journal.page(EventFilter(task=execution_id))
    return [event.kind for event in page.events]


def presence(site: Site, process: Process) -> Presence | None:
    view = site.fleet.get("hello")
    one = None if view is None else view.instance(process.name)
    return None if one is None else one.presence


async def first_id(*processes: Process) -> str:
    """Wait until one of the processes was called, and return the execution's id."""
    async with asyncio.timeout(10):
        while not any(process.calls for process in processes):  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.01)
    return next(process.ids[0] for process in processes if process.calls)


def call(**said: Any) -> Call:
    return Call(**{"target": GREET, "input": '{"name":"ada"}', **said})


def report(**said: Any) -> Report:
    return Report(**{"status": Status.SUCCEEDED, **said})
