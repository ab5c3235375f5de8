"""`stellwerk agent run`: be a deployment agent on this machine."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from stellwerk import __version__
from stellwerk.cli import agent_options as of

if TYPE_CHECKING:
    from stellwerk.agent.executors.settings import ExecutorSettings

LOG_FORM = "%(asctime)s %(levelname)s %(message)s"
LEVELS = ("debug", "info", "warning", "error")
DATA_DIR = Path("/var/lib/stellwerk-agent")


def run_agent(
    server: of.Server,
    token: of.Token = None,
    token_file: of.TokenFile = None,
    ca_sha256: of.Fingerprints = None,
    ca_file: of.Bundle = None,
    data_dir: of.DataDir = DATA_DIR,
    name: of.Name = None,
    label: of.Labels = None,
    capability: of.Capabilities = None,
    max_tasks: of.MostTasks = 2,
    drain: of.Drain = 30.0,
    docker_host: of.DockerHost = None,
    bind_root: of.BindRoots = None,
    sticker_root: of.StickerRoots = None,
    no_stream: of.NoStream = False,
    log_level: of.LogLevel = "info",
) -> None:
    """Join a control plane and do the tasks that it gives, until SIGTERM or SIGINT.

    The token is used once: the agent makes a key of its own, gets a certificate for it and renews that by
    itself, so later starts need neither token nor fingerprint.

    Example: stellwerk agent run --server https://plane.example:8443 --token reg_… --ca-sha256 …
    """
    from stellwerk.agent.executors.settings import ExecutorSettings
    from stellwerk.agent.program import run
    from stellwerk.agent.settings import AgentSettings

    _log_at(log_level)
    executors = ExecutorSettings(
        data_dir=data_dir.absolute(),
        docker_host=docker_host,
        bind_roots=tuple(bind_root) if bind_root else None,
        sticker_roots=tuple(sticker_root or ()),
    )
    settings = AgentSettings(
        server=_https(server),
        data_dir=data_dir.absolute(),
        name=name or _host_name(),
        version=__version__,
        token=token or None,
        token_file=token_file,
        ca_sha256=_pins(ca_sha256 or []),
        ca_file=ca_file,
        labels=_labels(label or []),
        capabilities=_capabilities(capability, executors),
        max_tasks=max_tasks,
        drain_s=drain,
        stream=not no_stream,
        executors=executors,
    )
    raise typer.Exit(run(settings))


def _log_at(level: str) -> None:
    if level not in LEVELS:
        raise typer.BadParameter(f"a log level is one of {', '.join(LEVELS)}", param_hint="--log-level")
    logging.basicConfig(level=logging.WARNING, format=LOG_FORM)
    logging.getLogger("stellwerk.agent").setLevel(level.upper())


def _capabilities(wanted: list[str] | None, settings: ExecutorSettings) -> frozenset[str] | None:
    from stellwerk.agent.executors import available, refusal

    if not wanted:
        return None
    known = {executor.capability for executor in available(settings).values()}
    for one in wanted:
        if one not in known:
            raise typer.BadParameter(
                f"{refusal(one)}; it knows {', '.join(sorted(known))}", param_hint="--capability"
            )
    return frozenset(wanted)


def _https(server: str) -> str:
    parts = urlsplit(server)
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise typer.BadParameter(
            f"the server is https://HOST:PORT of its TLS listener, not {server!r}: agents show certificates",
            param_hint="--server",
        )
    return server.rstrip("/")


def _host_name() -> str:
    """Make a name that the server accepts of the host's."""
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789._-"
    name = "".join(one if one in allowed else "-" for one in socket.gethostname().lower()).strip("._-")
    return name[:63] or "agent"


def _pins(texts: list[str]) -> tuple[str, ...]:
    from stellwerk.agent.pinning import PinMalformed, read_pin

    try:
        # One variable in the environment may hold several.
        return tuple(read_pin(pin) for text in texts for pin in text.replace(",", " ").split())
    except PinMalformed as error:
        raise typer.BadParameter(str(error), param_hint="--ca-sha256") from None


def _labels(pairs: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"a label is KEY=VALUE, not {pair!r}", param_hint="--label")
        labels[key] = value
    return labels
