"""A whole control plane in this process, behind real loopback listeners, and a client that reads its JSON."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from stellwerk.app import ControlPlane
from stellwerk.app.extensions import Extensions
from stellwerk.inquiry.detective import Detective
from stellwerk.settings import Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is decoded where it is JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(slots=True)
class Caller:
    """Sends requests to one listener, with the same headers each time."""

    url: str
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request; `body` is sent as JSON unless it is bytes already."""
        headers = {**self.headers, **more.pop("headers", {})}
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        if data is not None and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
        async with self.session.request(method, self.url + path, data=data, headers=headers, **more) as got:
            raw = await got.read()
            is_json = got.content_type in {"application/json", "application/problem+json"}
            sent = {name.lower(): value for name, value in got.headers.items()}
            return Answer(got.status, msgspec.json.decode(raw) if is_json else raw, sent)

    async def get(self, path: str, **more: Any) -> Any:
        """GET what must be there."""
        return self._good(await self.call("GET", path, **more))

    async def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """POST what must be taken."""
        return self._good(await self.call("POST", path, body, **more))

    async def put(self, path: str, body: Any = None, **more: Any) -> Any:
        """PUT what must be taken."""
        return self._good(await self.call("PUT", path, body, **more))

    async def delete(self, path: str, **more: Any) -> Any:
        """DELETE what must be there."""
        return self._good(await self.call("DELETE", path, **more))

    def socket(self, path: str) -> Any:
        """Connect a WebSocket."""
        return self.session.ws_connect(self.url + path, headers=self.headers, max_msg_size=0)

    def with_key(self, key: str) -> "Caller":
        """Return a caller that sends an API key."""
        return Caller(self.url, self.session, {**self.headers, "authorization": f"Bearer {key}"})

    @staticmethod
    def _good(answer: Answer) -> Any:
        assert 200 <= answer.status < 300, answer
        return answer.body


@dataclass(frozen=True, slots=True)
class Plane:
    """A running control plane."""

    control: ControlPlane
    main: Caller
    coordinator: Caller
    conductor: Caller
    metrics: Caller

    async def key(self, *scopes: str) -> Caller:
        """Make an API key and return a caller on the main listener with it."""
        made = await self.main.post("/keys", {"name": "-".join(scopes), "scopes": list(scopes)})
        return self.main.with_key(made["key"])


def free_ports(settings: Settings) -> Settings:
    """Let every listener take a free port."""
    server = replace(settings.server, port=0, coordinator_port=0, conductor_port=0, metrics_port=0)
    return replace(settings, server=server)


@asynccontextmanager
async def running_plane(
    data_dir: Path,
    settings: Settings | None = None,
    *,
    patience_s: float = 20.0,
    detective: Detective | None = None,
) -> AsyncIterator[Plane]:
    """Run a control plane on free loopback ports; `patience_s`: how long callers wait for an answer."""
    chosen = free_ports(replace(settings or Settings(), data_dir=data_dir))
    control = ControlPlane(chosen, extensions=Extensions(detective=detective))
    await control.start()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patience_s)) as session:
            callers = {name: Caller(url, session) for name, url in control.listeners.items()}
            names = ("main", "coordinator", "conductor", "metrics")
            yield Plane(control, *(callers[name] for name in names))
    finally:
        await control.stop()
