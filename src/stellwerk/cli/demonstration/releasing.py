"""The demo's last part: services onto a cluster, an image that does not exist, its cause, and the way back.

The cluster is the sandbox unless the demo is told another one. There everything lives in a namespace of the
demo's own, which goes with it.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stellwerk.cli.demonstration.mending import SETTINGS, NotMended, mend
from stellwerk.cli.demonstration.view import View

NAMESPACE = "stellwerk-demo"
BROKEN = "frontend"
NOWHERE = "registry.invalid/frontend"
"""An image that no cluster can pull, and the sandbox would not either: that domain exists nowhere."""
LIMIT_S = 150.0
_PLACES = (
    # In a wheel, and in the repository.
    Path(__file__).parent / "guestbook",
    Path(__file__).parents[4] / "examples" / "guestbook",
)


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster."""

    kubeconfig: Path | None = None
    """None is the sandbox."""

    @property
    def options(self) -> tuple[str, ...]:
        """Options of `stellwerk serve`."""
        if self.kubeconfig is None:
            return (*SETTINGS, "--cluster", "sandbox")
        return (*SETTINGS, "--cluster", "kubeconfig", "--kubeconfig", str(self.kubeconfig.resolve()))

    @property
    def name(self) -> str:
        return "the sandbox, a simulation" if self.kubeconfig is None else f"the cluster of {self.kubeconfig}"


@dataclass
class Released:
    """What came of it."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    """What was done, how it ended, how long it took."""
    wrong: str = ""
    """What was not as it should be."""


class NotAsExpected(Exception):
    """The server answered otherwise than the demo shows."""


def guestbook(folder: Path) -> Path | None:
    """Copy the example into a folder, with the one small image; None if it is not installed."""
    place = next((one for one in _PLACES if one.is_dir()), None)
    if place is None:
        return None
    copy = folder / "guestbook"
    shutil.copytree(place / "manifests", copy)
    shutil.copy(place / "parameters-busybox.yaml", copy / "parameters.yaml")
    return copy


async def release_services(url: str, target: Target, view: View) -> Released:
    """Run it. What goes wrong is in the result."""
    released = Released()
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        try:
            await _course(_Conductor(session, released), target, view)
        except (NotAsExpected, aiohttp.ClientError, TimeoutError) as fault:
            released.wrong = str(fault) or type(fault).__name__
            view.say(f"the services were not released as they should: {released.wrong}")
        finally:
            if target.kubeconfig is not None:
                await _clear(session)
    return released


async def _course(conductor: _Conductor, target: Target, view: View) -> None:
    view.say(f"releasing the guestbook to {target.name}")
    before: dict[str, Any] = {"global": {"namespace": NAMESPACE, "createNamespace": True}}
    await conductor.call("POST", "/api/parameters", before)
    up = await conductor.deploy("up", {})
    view.say(f"five services are up: {up['operation']['progress']['done']} objects, each healthy, in waves")
    await conductor.call("PATCH", "/api/parameters", {"services": {BROKEN: {"image": NOWHERE}}})
    failure = await conductor.fail("update", {"services": [BROKEN]})
    reason = f"{failure['details']['resource']}: {failure['details']['error']}"
    view.say(f"{BROKEN} with an image that does not exist fails, and says why: {reason}")
    view.say(f"healed: {await conductor.mend(view)}")
    if await conductor.call("GET", "/api/parameters") != before:
        raise NotAsExpected("the parameters are not those of the release")


class _Conductor:
    """Calls the conductor interface, and notes what came of it."""

    def __init__(self, session: aiohttp.ClientSession, released: Released) -> None:
        self._session = session
        self._released = released

    async def deploy(self, action: str, body: dict[str, Any]) -> Any:
        """Run an operation that must succeed."""
        status, said, took_s = await self._run(action, body)
        if status != 200:
            details = said.get("details", {})
            raise NotAsExpected(f"{action}: {details.get('resource', '')} {details.get('error', said)}")
        done = said["operation"]["progress"]
        self._note(action, f"{done['done']} of {done['total']} objects as wanted", took_s)
        return said

    async def fail(self, action: str, body: dict[str, Any]) -> Any:
        """Run an operation that must fail with the reason of a pod."""
        status, said, took_s = await self._run(action, body)
        if status != 500 or said.get("error") != "reconciliation_error" or "resource" not in said["details"]:
            raise NotAsExpected(f"{action} with an image that does not exist was answered {status}")
        self._note(action, f"failed as it must: {said['details']['error']}", took_s)
        return said

    async def mend(self, view: View) -> str:
        """Let what is broken be investigated and rolled back."""
        began = time.monotonic()
        try:
            done = await mend(self._session, view)
        except NotMended as fault:
            raise NotAsExpected(str(fault)) from fault
        self._note("investigate", "cause found, rollback approved, healthy again", time.monotonic() - began)
        return done

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call a path that must answer."""
        async with self._session.request(method, path, json=body) as answer:
            said = await answer.json()
            if answer.status >= 400:
                raise NotAsExpected(f"{method} {path}: {said.get('message', answer.status)}")
            return said

    async def _run(self, action: str, body: dict[str, Any]) -> tuple[int, Any, float]:
        began = time.monotonic()
        wanted = {**body, "timeoutSeconds": LIMIT_S - 30}
        async with self._session.post(f"/api/{action}", json=wanted) as answer:
            return answer.status, await answer.json(), time.monotonic() - began

    def _note(self, action: str, result: str, took_s: float) -> None:
        self._released.rows.append((action, result, f"{took_s:.1f} s"))


async def _clear(session: aiohttp.ClientSession) -> None:
    """Remove everything, with the namespace; what cannot be removed stays."""
    try:
        async with asyncio.timeout(LIMIT_S):
            async with session.post("/api/down", json={"all": True, "namespaces": True}) as answer:
                await answer.read()
    except (aiohttp.ClientError, TimeoutError):
        return


def print_released(console: Console, released: Released) -> None:
    """Print what was done to the services."""
    table = Table("guestbook", "result", "took", box=None, pad_edge=False)
    for row in released.rows:
        table.add_row(*row)
    console.print(table, highlight=False)
    good = not released.wrong
    verdict = "The broken image was found, told, and taken back with approval." if good else released.wrong
    console.print(Text(verdict, style="bold green" if good else "bold red"))
