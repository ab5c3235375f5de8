"""A control plane with two versions of an agent `hello`, which really listen, and callers with tokens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stellwerk.settings import ConnectorSettings, Settings
from support.node import Node, joined
from support.plane import Caller, Plane, running_plane

PREFIXES = ("/connector", "/api/v1/connector")
EVERYTHING = ["reasoners:read", "reasoners:write", "versions:read", "versions:write", "restart"]


@dataclass(frozen=True, slots=True)
class Site:
    """The control plane, the two processes, and a caller that may everything."""

    plane: Plane
    one: Node
    two: Node
    caller: Caller

    @property
    def api(self) -> Caller:
        """The main listener, where an operator needs no key."""
        return self.plane.main

    async def token(self, *capabilities: str, **more: object) -> str:
        """Make a token."""
        body = {"name": "test", "capabilities": list(capabilities), **more}
        return str((await self.api.post("/api/v1/traffic/tokens", body))["token"])

    async def connector(self, *capabilities: str, **more: object) -> Caller:
        """Make a token and return a caller that shows it as documented."""
        return self.api.with_key(await self.token(*capabilities, **more))

    async def weights(self) -> dict[str, int | None]:
        """The weights of `hello`."""
        shown = await self.api.get("/api/v1/traffic/reasoners/hello/versions")
        return {one["version"]: one["traffic_weight"] for one in shown["versions"]}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    settings = Settings()
    settings = replace(
        settings,
        connector=ConnectorSettings(token="configured", restart_s=5.0),
        # Refusals are what is tested here: more of them than an address has in a minute otherwise.
        limits=replace(settings.limits, failed_logins_per_min=1_000),
    )
    async with running_plane(tmp_path / "data", settings) as plane:
        one, two = Node(plane.main), Node(plane.main, version="2.0.0")
        async with joined(one, two):
            yield Site(plane, one, two, plane.main.with_key("configured"))
