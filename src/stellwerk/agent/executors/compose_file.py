"""Turn a compose file into containers to be.

The subset is what one machine needs, and it is closed: an unknown key is a fault, never ignored, because
an ignored `deploy`, `secrets` or `privileged` would start something else than what was written. Images are
named by digest.

    top level   services, networks, volumes; name, version and what begins with x- are allowed and ignored
    services    see `Service`; ports and volumes in their short form
    networks    null or {internal, external, name}
    volumes     null or {external, name}

Ports without an address are published on 127.0.0.1, other than by compose itself. There is one container a
service.
"""

from __future__ import annotations

import graphlib
import hashlib
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from stellwerk.agent.executors import containers
from stellwerk.agent.executors.compose_yaml import Unreadable, Variables, load
from stellwerk.agent.executors.containers import ContainerSpec, Limits, Name
from stellwerk.agent.executors.health import HealthGate
from stellwerk.agent.executors.parameters import Parameters, faults
from stellwerk.agent.executors.references import digest_faults, parse

Scalar = str | int | float | bool | None
Pairs = dict[str, Scalar] | list[str]
Words = str | list[str]
Key = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")]

DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
SIZE: Final = re.compile(r"^(\d+(?:\.\d+)?)\s*([bkmg]?)b?\Z", re.IGNORECASE)
SIZES: Final = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
SETTLE_S: Final = 1.0
PROBE_STEP_S: Final = 2.0
"""A deployment waits for health, so it asks more often than a check that runs for ever; for as long in
all."""


class Healthcheck(Parameters, frozen=True, kw_only=True, rename=str):
    """A service's own check."""

    test: Words | None = None
    interval: str = "30s"
    timeout: str = "30s"
    retries: Annotated[int, Meta(ge=1, le=1000)] = 3
    start_period: str = "0s"
    disable: bool = False

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """Durations that can be read, and something to run."""
        found = _each(duration_s, values, ("interval", "timeout", "start_period"))
        test = values.get("test")
        known = isinstance(test, str) or (
            isinstance(test, list) and test[:1] in (["CMD"], ["CMD-SHELL"], ["NONE"])
        )
        if not known and not values.get("disable"):
            found.append("test: expected a line, or a list that begins with CMD, CMD-SHELL or NONE")
        return found


class Dependency(Parameters, frozen=True, kw_only=True, rename=str):
    """What is waited for. Every service is waited for until it is healthy, so both conditions hold."""

    condition: Literal["service_started", "service_healthy"] = "service_started"
    restart: bool = False


class NetworkUse(Parameters, frozen=True, kw_only=True, rename=str):
    """How a service is known in a network, besides by its own name."""

    aliases: list[str] = msgspec.field(default_factory=list)


class Service(Parameters, frozen=True, kw_only=True, rename=str):
    """One service."""

    image: Annotated[str, Meta(min_length=1)]
    container_name: Name | None = None
    command: Words | None = None
    entrypoint: Words | None = None
    environment: Pairs = msgspec.field(default_factory=dict)
    labels: Pairs = msgspec.field(default_factory=dict)
    ports: list[str | int] = msgspec.field(default_factory=list)
    volumes: list[str] = msgspec.field(default_factory=list)
    tmpfs: Words = msgspec.field(default_factory=list)
    networks: list[str] | dict[str, NetworkUse | None] = msgspec.field(default_factory=list)
    network_mode: Literal["host", "none", "bridge"] | None = None
    extra_hosts: list[str] = msgspec.field(default_factory=list)
    depends_on: list[str] | dict[str, Dependency] = msgspec.field(default_factory=list)
    healthcheck: Healthcheck | None = None
    restart: Annotated[str, Meta(pattern=containers.RESTART.pattern)] = "no"
    user: str | int | None = None
    working_dir: Annotated[str, Meta(pattern="^/")] | None = None
    hostname: str | None = None
    read_only: bool = False
    cap_drop: list[str] = msgspec.field(default_factory=list)
    init: bool = False
    stop_signal: str | None = None
    stop_grace_period: str = "10s"
    mem_limit: str | int | None = None
    cpus: float | str | None = None
    pids_limit: Annotated[int, Meta(ge=1)] | None = None

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """What lies between the lines: digests, ports, durations, sizes, labels."""
        found = digest_faults(values.get("image"), None, None, allow_tags=False)
        found = [fault.replace(" (or say allowTags: true)", "") for fault in found]
        found += containers.port_faults([str(port) for port in values.get("ports", ())])
        found += containers.label_faults(pairs(values.get("labels") or {}, {}))
        found += _each(duration_s, values, ("stop_grace_period",))
        found += _each(size_bytes, values, ("mem_limit",))
        found += _each(float, values, ("cpus",))
        if values.get("network_mode") and values.get("networks"):
            found.append("network_mode and networks: give one of them")
        return found


class Network(Parameters, frozen=True, kw_only=True, rename=str):
    """A network of the project, or one that is there already."""

    internal: bool = False
    external: bool = False
    name: Key | None = None


class Volume(Parameters, frozen=True, kw_only=True, rename=str):
    """A volume of the project, or one that is there already."""

    external: bool = False
    name: Key | None = None


class File(Parameters, frozen=True, kw_only=True, rename=str):
    """A compose file, extensions taken out."""

    services: Annotated[dict[Key, Service], Meta(min_length=1)]
    networks: dict[Key, Network | None] = msgspec.field(default_factory=dict)
    volumes: dict[Key, Volume | None] = msgspec.field(default_factory=dict)
    name: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedService:
    """A service as it is to run."""

    name: str
    spec: ContainerSpec
    gate: HealthGate
    config: str
    """A hash of all of it: the same means that nothing has to be done."""


@dataclass(frozen=True, slots=True)
class Project:
    """What a compose file asks of this machine; services in the order in which they can start."""

    name: str
    services: Sequence[PlannedService]
    networks: Mapping[str, Network]
    """By their name on the engine."""
    volumes: Mapping[str, Volume]


def plan(
    project: str, text: str, variables: Variables, bind_roots: Sequence[Path] | None
) -> tuple[Project | None, list[str]]:
    """Read a compose file: the project, or None and every fault."""
    try:
        tree = load(text)
    except Unreadable as error:
        return None, [f"composeYaml: {error}"]
    tree = variables.fill({key: value for key, value in tree.items() if not str(key).startswith("x-")})
    found = faults(File, tree, "composeYaml") + [
        f"composeYaml: {said}" for said in variables.missing.values()
    ]
    if found:
        return None, found
    file = msgspec.convert(tree, File)
    order, found = _order(file)
    found += _references(file, bind_roots)
    if found:
        return None, [f"composeYaml.{fault}" for fault in found]
    networks = {_given(project, key, one): one or Network() for key, one in file.networks.items()}
    if any(not service.networks and not service.network_mode for service in file.services.values()):
        networks.setdefault(f"{project}_default", Network())
    volumes = {_given(project, key, one): one or Volume() for key, one in file.volumes.items()}
    services = [_service(project, name, file, variables.values) for name in order]
    return Project(project, services, networks, volumes), []


def pairs(given: Pairs, variables: Mapping[str, str]) -> dict[str, str]:
    """Read `NAME: value` or `NAME=value`; a name without a value takes that of the variables, if there is
    one."""
    items = given.items() if isinstance(given, dict) else [_split(one) for one in given]
    read: dict[str, str] = {}
    for name, value in items:
        if value is not None:
            read[name] = str(value).lower() if isinstance(value, bool) else str(value)
        elif name in variables:
            read[name] = variables[name]
    return read


def duration_s(text: str) -> float:
    """Read `1m30s`; raises ValueError."""
    if not text or DURATION.sub("", text):
        raise ValueError(f"{text!r} is not a duration like 1m30s")
    return sum(float(number) * UNITS_S[unit] for number, unit in DURATION.findall(text))


def size_bytes(given: str | int) -> int:
    """Read `512m` or a number of bytes; raises ValueError."""
    found = SIZE.match(str(given))
    if not found:
        raise ValueError(f"{given!r} is not a size like 512m")
    return int(float(found[1]) * SIZES[found[2].lower()])


def _service(project: str, name: str, file: File, variables: Mapping[str, str]) -> PlannedService:
    service = file.services[name]
    spec = ContainerSpec(
        name=service.container_name or f"{project}-{name}-1",
        image=parse(service.image).text,
        command=_words(service.command),
        entrypoint=_words(service.entrypoint),
        env=pairs(service.environment, variables),
        ports=[containers.parse_port(str(port)) for port in service.ports],
        volumes=[_volume(project, volume, file) for volume in service.volumes],
        tmpfs=[service.tmpfs] if isinstance(service.tmpfs, str) else service.tmpfs,
        networks=_networks(project, name, service, file),
        network_mode=service.network_mode,
        restart=service.restart,
        limits=Limits(
            memory_bytes=size_bytes(service.mem_limit) if service.mem_limit else None,
            cpus=float(service.cpus) if service.cpus else None,
            pids=service.pids_limit,
        ),
        labels=pairs(service.labels, {}),
        user=str(service.user) if service.user is not None else None,
        working_dir=service.working_dir,
        hostname=service.hostname,
        read_only=service.read_only,
        cap_drop=service.cap_drop,
        init=service.init,
        stop_signal=service.stop_signal,
        stop_grace_s=math.ceil(duration_s(service.stop_grace_period)),
        extra_hosts=service.extra_hosts,
        healthcheck=_engine_check(service.healthcheck) if service.healthcheck else None,
    )
    told = json.dumps(
        {**asdict(spec), "limits": msgspec.to_builtins(spec.limits)}, sort_keys=True, default=str
    )
    return PlannedService(name, spec, _gate(service.healthcheck), hashlib.sha256(told.encode()).hexdigest())


def _order(file: File) -> tuple[list[str], list[str]]:
    """Put dependencies first; faults for those that are missing or lead in a circle."""
    graph = {name: set(service.depends_on) for name, service in file.services.items()}
    found = [
        f"services.{name}.depends_on: there is no service {other!r}"
        for name, others in graph.items()
        for other in sorted(others - set(graph))
    ]
    try:
        return list(graphlib.TopologicalSorter(graph).static_order()), found
    except graphlib.CycleError as error:
        return [], [*found, f"services: depends_on leads in a circle: {' → '.join(error.args[1])}"]


def _references(file: File, bind_roots: Sequence[Path] | None) -> list[str]:
    """List names of networks and volumes that nobody declares, and names of containers that stand twice."""
    found: list[str] = []
    for name, service in file.services.items():
        at = f"services.{name}"
        found += [
            f"{at}.networks: {one!r} is not declared under networks"
            for one in service.networks
            if one not in file.networks and one != "default"
        ]
        found += [f"{at}.{fault}" for fault in containers.volume_faults(service.volumes, bind_roots)]
        sources = [volume.partition(":")[0] for volume in service.volumes if not volume.startswith("/")]
        found += [
            f"{at}.volumes: {one!r} is not declared under volumes"
            for one in sources
            if one not in file.volumes
        ]
    names = [service.container_name for service in file.services.values() if service.container_name]
    return found + [
        f"services: container_name {one!r} stands twice" for one in set(names) if names.count(one) > 1
    ]


def _networks(project: str, name: str, service: Service, file: File) -> dict[str, Sequence[str]]:
    if service.network_mode:
        return {}
    used = service.networks or ["default"]
    aliases = {
        key: (use.aliases if use else [])
        for key, use in (used.items() if isinstance(used, dict) else ((one, None) for one in used))
    }
    return {_given(project, key, file.networks.get(key)): [name, *more] for key, more in aliases.items()}


def _volume(project: str, volume: str, file: File) -> str:
    source, _, rest = volume.partition(":")
    return volume if source.startswith("/") else f"{_given(project, source, file.volumes.get(source))}:{rest}"


def _given(project: str, key: str, one: Network | Volume | None) -> str:
    """Name a network or volume on the engine."""
    if one and one.name:
        return one.name
    return key if one and one.external else f"{project}_{key}"


def _words(given: Words | None) -> list[str] | None:
    """Split a line as a shell does, without running one: so compose files mean it."""
    return shlex.split(given) if isinstance(given, str) else given


def _engine_check(check: Healthcheck) -> dict[str, Any]:
    if check.disable:
        return {"Test": ["NONE"]}
    test = ["CMD-SHELL", check.test] if isinstance(check.test, str) else check.test
    times = {"Interval": check.interval, "Timeout": check.timeout, "StartPeriod": check.start_period}
    return {
        "Test": test,
        "Retries": check.retries,
        **{name: int(duration_s(text) * 1_000_000_000) for name, text in times.items()},
    }


def _gate(check: Healthcheck | None) -> HealthGate:
    if check is None or check.disable:
        return HealthGate(settle=SETTLE_S)
    interval_s = duration_s(check.interval)
    step_s = min(interval_s, PROBE_STEP_S) or PROBE_STEP_S
    return HealthGate(
        interval=step_s,
        timeout=max(0.1, duration_s(check.timeout)),
        retries=max(check.retries, math.ceil(check.retries * interval_s / step_s)),
        start_period=duration_s(check.start_period),
        settle=SETTLE_S,
    )


def _split(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def _each(look: Any, values: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """List the fields that `look` cannot read."""
    found = []
    for name in names:
        if values.get(name) is not None:
            try:
                look(values[name])
            except ValueError as error:
                found.append(f"{name}: {error}")
    return found
