"""Probe whether a thing is healthy, by ourselves.

Theory of operation. podman without systemd never runs a container's health check, and nobody but the agent
knows when a deployment waits for one. So the agent probes: it runs the container's own check, or a
command, inside the container, or asks over HTTP or TCP from the machine. The first success ends the wait.
A failure counts only after the start period; `retries` failures in a row end it the other way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import msgspec
from msgspec import Meta

from stellwerk.agent.executors.engine import Engine, EngineError, Output
from stellwerk.agent.executors.executor import Failed, Report, Result
from stellwerk.agent.executors.parameters import Parameters

Seconds = Annotated[float, Meta(ge=0, le=86400)]
Command = list[str] | Annotated[str, Meta(min_length=1)]
"""Words, or one line for `/bin/sh -c`."""

Probe = Callable[[], Awaitable["Answer"]]

BODY_LIMIT = 64 * 1024
SETTLE_STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Answer:
    """What one probe found."""

    healthy: bool
    output: str


class HttpProbe(Parameters, frozen=True, kw_only=True):
    """GET `url` from the machine; redirects are not followed."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]
    expect: Annotated[int, Meta(ge=100, le=599)] | None = None
    """The status; None takes 200 to 399."""
    contains: str | None = None
    """Text that the first 64 KiB of the body must hold."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class TcpProbe(Parameters, frozen=True, kw_only=True):
    """Open a connection."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    host: str = "127.0.0.1"


class ExecProbe(Parameters, frozen=True, kw_only=True):
    """Run a command inside the container; exit code 0 is healthy."""

    command: Command
    container: str | None = None
    """None means the container that is being started; health.check needs a name."""


class Timing(Parameters, frozen=True, kw_only=True):
    """How often and how long to probe."""

    interval: Seconds = 1.0
    timeout: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    """For one probe."""
    retries: Annotated[int, Meta(ge=1, le=10000)] = 10
    start_period: Seconds = 0.0


class HealthGate(Timing, frozen=True, kw_only=True):
    """What must become healthy before a container takes the place of another."""

    http: HttpProbe | None = None
    tcp: TcpProbe | None = None
    exec: ExecProbe | None = None
    settle: Seconds = 2.0
    """How long a container without any check must run before it counts as healthy."""

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """At most one way to probe."""
        given = [name for name in ("http", "tcp", "exec") if values.get(name) is not None]
        return [f"give one of {', '.join(given)}, not several"] if len(given) > 1 else []


async def until_healthy(
    probe: Probe, timing: Timing, report: Report, alive: Callable[[], Awaitable[None]] | None = None
) -> Result:
    """Probe until healthy; `alive` raises when waiting is pointless.

    Raises Failed (`health.unhealthy`, retriable) after `retries` failures in a row past the start period.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    attempts = failures = 0
    while True:
        if alive is not None:
            await alive()
        attempts += 1
        answer = await _ask(probe, timing.timeout)
        if answer.healthy:
            return {"healthy": True, "attempts": attempts, "lastOutput": answer.output}
        if loop.time() - began >= timing.start_period:
            failures += 1
        report.log("info", f"probe {attempts}: {answer.output}")
        if failures >= timing.retries:
            raise Failed(
                "health.unhealthy",
                f"not healthy after {attempts} probes; the last one said: {answer.output}",
                retriable=True,
                result={"healthy": False, "attempts": attempts, "lastOutput": answer.output},
            )
        await asyncio.sleep(timing.interval)


async def _ask(probe: Probe, timeout_s: float) -> Answer:
    try:
        async with asyncio.timeout(timeout_s):
            return await probe()
    except TimeoutError:
        return Answer(False, f"no answer within {timeout_s:g} s")


def http_probe(wanted: HttpProbe) -> Probe:
    """Make a probe over HTTP."""

    async def probe() -> Answer:
        try:
            async with (
                aiohttp.ClientSession(trust_env=False) as session,
                session.get(wanted.url, headers=wanted.headers, allow_redirects=False) as answer,
            ):
                body = (await answer.content.read(BODY_LIMIT)).decode(errors="replace")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(False, f"GET {wanted.url}: {error or type(error).__name__}")
        right = answer.status == wanted.expect if wanted.expect else 200 <= answer.status < 400
        if right and wanted.contains and wanted.contains not in body:
            return Answer(False, f"GET {wanted.url}: {answer.status}, but the body lacks {wanted.contains!r}")
        return Answer(right, f"GET {wanted.url}: {answer.status}")

    return probe


def tcp_probe(wanted: TcpProbe) -> Probe:
    """Make a probe over TCP."""

    async def probe() -> Answer:
        where = f"{wanted.host}:{wanted.port}"
        try:
            _, writer = await asyncio.open_connection(wanted.host, wanted.port)
        except OSError as error:
            return Answer(False, f"{where}: {error}")
        writer.close()
        return Answer(True, f"{where} accepts connections")

    return probe


def exec_probe(engine: Engine, container: str, command: Command) -> Probe:
    """Make a probe that runs a command inside a container."""
    words = command if isinstance(command, list) else ["/bin/sh", "-c", command]

    async def probe() -> Answer:
        try:
            output = await engine.execute(container, words)
        except EngineError as error:
            return Answer(False, f"exec in {container}: {error.message}")
        return Answer(output.exit_code == 0, _said(output))

    return probe


def own_check(container: Mapping[str, Any]) -> list[str] | None:
    """Tell the command of the container's own health check; None when it has none or has switched it off."""
    test = ((container.get("Config") or {}).get("Healthcheck") or {}).get("Test") or []
    match test:
        case ["CMD", *words] if words:
            return [str(word) for word in words]
        case ["CMD-SHELL", line]:
            return ["/bin/sh", "-c", str(line)]
        case _:
            return None


def _said(output: Output) -> str:
    text = output.text.strip()[-500:]
    return f"exit code {output.exit_code}" + (f": {text}" if text else "")
