"""inspect: tell the state of a container, and where it differs from what was expected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from stellwerk.agent.executors.containers import RESTART, parse_port, port_faults
from stellwerk.agent.executors.docker import EngineExecutor
from stellwerk.agent.executors.engine import Engine
from stellwerk.agent.executors.executor import ATTEMPT_LABEL, TASK_LABEL, Failed, Job, Report, Result, within
from stellwerk.agent.executors.parameters import Parameters, read
from stellwerk.agent.executors.references import DIGEST
from stellwerk.agent.executors.replacement import IMAGE_LABEL, name_of

Difference = dict[str, Any]

HIDDEN = "(hidden)"
"""Stands for values of environment variables: they may be secrets."""


class Expected(Parameters, frozen=True, kw_only=True):
    """What a container should be; what is absent is not compared."""

    digest: Annotated[str, Meta(pattern=DIGEST.pattern)] | None = None
    running: bool = True
    command: list[str] | None = None
    env: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables that must have these values; others are not looked at."""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    ports: list[str] | None = None
    """All published ports, written as for docker.run."""
    restart_policy: Annotated[str, Meta(pattern=RESTART.pattern)] | None = None

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """Ports that can be read."""
        return port_faults(values.get("ports") or ())


class InspectParameters(Parameters, frozen=True, kw_only=True):
    """What inspect takes."""

    name: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")]
    """A container's name or id."""
    expected: Expected | None = None
    """None compares the image with the one that the container was deployed with by this agent."""


class Inspect(EngineExecutor):
    """Looks at containers."""

    task_types: tuple[str, ...] = ("inspect",)
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {"inspect": InspectParameters}

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Look; drift is a result, not a failure."""
        wanted = read(InspectParameters, job.payload)
        async with self.engine() as engine:
            return await within(job, cancelled, self._look(engine, wanted))

    async def _look(self, engine: Engine, wanted: InspectParameters) -> Result:
        found = await engine.inspect(wanted.name)
        if found is None:
            raise Failed("docker.not_found", f"there is no container {wanted.name}")
        image = await engine.get(f"/images/{found['Image']}/json")
        digests = sorted({one.partition("@")[2] for one in image.get("RepoDigests") or ()})
        labels = found["Config"].get("Labels") or {}
        deployed = labels.get(IMAGE_LABEL) or str(found["Config"].get("Image") or "")
        # An image may be listed under several digests: its own, and those of the indexes that lead to it.
        digests.sort(key=lambda one: one != deployed.partition("@")[2])
        expected = wanted.expected or Expected(digest=labels.get(IMAGE_LABEL, "").partition("@")[2] or None)
        drift = differences(expected, found, digests)
        digest = expected.digest if expected.digest in digests else next(iter(digests), None)
        return {
            "containerId": found["Id"],
            "name": name_of(found),
            "state": found["State"].get("Status"),
            "exitCode": int(found["State"].get("ExitCode") or 0),
            "startedAt": found["State"].get("StartedAt"),
            "restarts": int(found.get("RestartCount") or 0),
            "imageId": found["Image"],
            "digest": digest,
            "ports": published(found),
            "task": labels.get(TASK_LABEL),
            "attempt": labels.get(ATTEMPT_LABEL),
            "drifted": bool(drift),
            "drift": drift,
        }


def differences(expected: Expected, found: Mapping[str, Any], digests: list[str]) -> list[Difference]:
    """List where a container differs from what was expected."""
    config, state = found["Config"], found["State"]
    labels = config.get("Labels") or {}
    pairs: list[tuple[str, Any, Any]] = [("running", expected.running, bool(state.get("Running")))]
    if expected.digest and expected.digest not in digests:
        pairs.append(("digest", expected.digest, next(iter(digests), None)))
    if expected.command is not None:
        pairs.append(("command", expected.command, config.get("Cmd") or []))
    if expected.ports is not None:
        wanted = sorted(_port(port) for port in expected.ports)
        pairs.append(("ports", wanted, published(found)))
    if expected.restart_policy is not None:
        pairs.append(("restartPolicy", expected.restart_policy, _restart_policy(found)))
    pairs += [(f"labels.{name}", value, labels.get(name)) for name, value in expected.labels.items()]
    drift = [{"field": name, "expected": want, "actual": have} for name, want, have in pairs if want != have]
    return drift + _env_differences(expected.env, config.get("Env") or [])


def published(found: Mapping[str, Any]) -> list[str]:
    """List what a container publishes, as `address:published:port/protocol`."""
    bindings = found["HostConfig"].get("PortBindings") or {}
    bound = (found.get("NetworkSettings") or {}).get("Ports") or {}
    return sorted(
        f"{one.get('HostIp') or '0.0.0.0'}:{one.get('HostPort') or 0}:{port}"  # noqa: S104  # what the engine means
        for port, where in (bound or bindings).items()
        for one in where or ()
    )


def _port(text: str) -> str:
    port = parse_port(text)
    return f"{port.host}:{port.published}:{port.port}/{port.protocol}"


def _restart_policy(found: Mapping[str, Any]) -> str:
    policy = found["HostConfig"].get("RestartPolicy") or {}
    name, retries = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{retries}" if retries else str(name)


def _env_differences(expected: Mapping[str, str], actual: list[str]) -> list[Difference]:
    there = dict(one.partition("=")[::2] for one in actual)
    return [
        {"field": f"env.{name}", "expected": HIDDEN, "actual": HIDDEN if name in there else None}
        for name, value in expected.items()
        if there.get(name) != value
    ]
