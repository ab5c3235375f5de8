"""What a container is to be: from parameters to the body of the engine's create call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

from msgspec import Meta

from stellwerk.agent.executors.parameters import Parameters

OWN_LABELS: Final = "stellwerk."
"""Labels that begin so are the agent's; adoption and replacement live from them."""

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}\Z")]
"""A container's name. Docker wants two characters at least."""

PORT: Final = re.compile(
    r"^(?:(?:(?P<host>\[[0-9a-fA-F:]+\]|[0-9.]+):)?(?P<published>\d{0,5}):)?(?P<port>\d{1,5})(?:/(?P<protocol>tcp|udp))?\Z"
)
VOLUME: Final = re.compile(
    r"^(?P<source>/[^:]*|[a-zA-Z0-9][a-zA-Z0-9_.-]*):(?P<target>/[^:]*)(?::(?P<mode>ro|rw))?\Z"
)
RESTART: Final = re.compile(r"^(no|always|unless-stopped|on-failure(:\d{1,4})?)\Z")
ENV_NAME: Final = re.compile(r"^[^=\0]+\Z")


class Limits(Parameters, frozen=True, kw_only=True):
    """What a container may use."""

    memory_bytes: Annotated[int, Meta(ge=6 * 1024 * 1024)] | None = None
    cpus: Annotated[float, Meta(gt=0, le=1024)] | None = None
    pids: Annotated[int, Meta(ge=1)] | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A published port; `published` 0 lets the engine choose."""

    host: str
    published: int
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to be, every default filled in."""

    name: str
    image: str
    """By digest."""
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[Port] = ()
    volumes: Sequence[str] = ()
    tmpfs: Sequence[str] = ()
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Aliases by network; empty takes the engine's own."""
    network_mode: str | None = None
    restart: str = "no"
    limits: Limits = field(default_factory=Limits)
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    working_dir: str | None = None
    hostname: str | None = None
    read_only: bool = False
    cap_drop: Sequence[str] = ()
    init: bool = False
    stop_signal: str | None = None
    stop_grace_s: int = 10
    extra_hosts: Sequence[str] = ()
    healthcheck: Mapping[str, Any] | None = None
    """In the engine's own words; None leaves the image's."""


def parse_port(text: str) -> Port:
    """Read `[address:][published:]port[/protocol]`; without an address it is published on 127.0.0.1 only.

    Raises ValueError.
    """
    found = PORT.match(text)
    if not found:
        raise ValueError(f"{text!r} is not a port: expected [address:][published:]port[/tcp|udp]")
    port, published = int(found["port"]), int(found["published"] or 0)
    if not 1 <= port <= 65535 or published > 65535:
        raise ValueError(f"{text!r}: ports are 1 to 65535")
    return Port((found["host"] or "127.0.0.1").strip("[]"), published, port, found["protocol"] or "tcp")


def port_faults(ports: Sequence[str]) -> list[str]:
    """List the ports that cannot be read."""
    return _each("ports", ports, parse_port)


def volume_faults(volumes: Sequence[str], bind_roots: Sequence[Path] | None) -> list[str]:
    """List the volumes that cannot be read or that lie outside of what this machine allows."""

    def look(text: str) -> None:
        found = VOLUME.match(text)
        if not found or ".." in PurePosixPath(found["source"]).parts:
            raise ValueError(f"{text!r} is not a volume: expected name-or-/folder:/target[:ro]")
        if found["source"].startswith("/") and not _allowed(found["source"], bind_roots):
            raise ValueError(f"{text!r}: this agent may not mount {found['source']}")

    return _each("volumes", volumes, look)


def label_faults(labels: Mapping[str, str]) -> list[str]:
    """List the labels that are the agent's own."""
    return [
        f"labels.{name}: names that begin with {OWN_LABELS!r} are the agent's"
        for name in labels
        if name.startswith(OWN_LABELS)
    ]


def env_faults(env: Mapping[str, str]) -> list[str]:
    """List the names that cannot be names of environment variables."""
    return [f"env: {name!r} cannot be the name of a variable" for name in env if not ENV_NAME.match(name)]


def create_body(spec: ContainerSpec, labels: Mapping[str, str]) -> dict[str, Any]:
    """Write the engine's create call; `labels` are the agent's own."""
    exposed: dict[str, Any] = {f"{port.port}/{port.protocol}": {} for port in spec.ports}
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": {**spec.labels, **labels},
        "ExposedPorts": exposed,
        "StopTimeout": spec.stop_grace_s,
        "HostConfig": _host_config(spec),
    }
    optional = {
        "Cmd": list(spec.command) if spec.command is not None else None,
        "Entrypoint": list(spec.entrypoint) if spec.entrypoint is not None else None,
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "Hostname": spec.hostname,
        "StopSignal": spec.stop_signal,
        "Healthcheck": spec.healthcheck,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if spec.networks:
        # Docker takes one network here; the others are connected before the start.
        name, aliases = next(iter(spec.networks.items()))
        body["NetworkingConfig"] = {"EndpointsConfig": {name: {"Aliases": list(aliases)}}}
    return body


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    policy, _, retries = spec.restart.partition(":")
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        binding = {"HostIp": port.host, "HostPort": str(port.published) if port.published else ""}
        bindings.setdefault(f"{port.port}/{port.protocol}", []).append(binding)
    config: dict[str, Any] = {
        "PortBindings": bindings,
        "Mounts": [_mount(volume) for volume in spec.volumes],
        "Tmpfs": {path.partition(":")[0]: path.partition(":")[2] for path in spec.tmpfs},
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(retries or 0)},
        "ReadonlyRootfs": spec.read_only,
        "CapDrop": list(spec.cap_drop),
        "Init": spec.init,
        "ExtraHosts": list(spec.extra_hosts),
        "NetworkMode": spec.network_mode or next(iter(spec.networks), "default"),
    }
    if spec.limits.memory_bytes:
        config["Memory"] = spec.limits.memory_bytes
    if spec.limits.cpus:
        config["NanoCpus"] = int(spec.limits.cpus * 1_000_000_000)
    if spec.limits.pids:
        config["PidsLimit"] = spec.limits.pids
    return config


def _mount(volume: str) -> dict[str, Any]:
    """Mount a folder or a named volume. Docker refuses a folder that is missing; podman makes it, as root."""
    found = VOLUME.match(volume)
    if not found:
        raise ValueError(f"{volume!r} is not a volume")
    kind = "bind" if found["source"].startswith("/") else "volume"
    return {
        "Type": kind,
        "Source": found["source"],
        "Target": found["target"],
        "ReadOnly": found["mode"] == "ro",
    }


def _allowed(source: str, roots: Sequence[Path] | None) -> bool:
    return roots is None or any(Path(source).resolve().is_relative_to(root) for root in roots)


def _each(name: str, values: Sequence[str], look: Any) -> list[str]:
    found = []
    for value in values:
        try:
            look(value)
        except ValueError as error:
            found.append(f"{name}: {error}")
    return found
