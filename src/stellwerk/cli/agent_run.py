"""`stellwerk agent run`: be a deployment agent on this machine."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from stellwerk import __version__

if TYPE_CHECKING:
    from stellwerk.agent.executors.settings import ExecutorSettings

LOG_FORM = "%(asctime)s %(levelname)s %(message)s"
LEVELS = ("debug", "info", "warning", "error")


def run_agent(
    server: Annotated[
        str,
        typer.Option(envvar="STELLWERK_SERVER", metavar="https://HOST:PORT", help="TLS listener to join."),
    ],
    token: Annotated[
        str | None,
        typer.Option(envvar="STELLWERK_AGENT_TOKEN", help="Registration token; only for the first start."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token; read again at each registration.")
    ] = None,
    ca_sha256: Annotated[
        list[str] | None,
        typer.Option(envvar="STELLWERK_CA_SHA256", help="Fingerprint of the server's CA; may be repeated."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="PEM bundle to trust instead of a fingerprint.")
    ] = None,
    data_dir: Annotated[
        Path,
        typer.Option(envvar="STELLWERK_AGENT_DATA_DIR", help="The agent's own folder; survives restarts."),
    ] = Path("/var/lib/stellwerk-agent"),
    name: Annotated[
        str | None, typer.Option(envvar="STELLWERK_AGENT_NAME", help="Its name; the host's by default.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(help="Take on only this (docker, compose, health, ssh, sticker); may be repeated."),
    ] = None,
    max_tasks: Annotated[int, typer.Option(min=1, max=1000, help="Tasks at once.")] = 2,
    drain: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long tasks may go on after SIGTERM.")
    ] = 30.0,
    docker_host: Annotated[
        str | None, typer.Option(envvar="DOCKER_HOST", help="The container engine's socket.")
    ] = None,
    bind_root: Annotated[
        list[Path] | None, typer.Option(help="Folder that containers may mount; any by default.")
    ] = None,
    sticker_root: Annotated[
        list[Path] | None, typer.Option(help="Further folder for stickers; may be repeated.")
    ] = None,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Fetch tasks with heartbeats only; for odd proxies.")
    ] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Join a control plane and do the tasks that it gives, until SIGTERM or SIGINT.

    The token is used once: the agent makes a key of its own, gets a certificate for it and renews that by
    itself, so later starts need neither token nor fingerprint.

    Example: stellwerk agent run --server https://plane.example:8443 --token reg_… --ca-sha256 …
    """
    from stellwerk.agent.executors.settings import ExecutorSettings
    from stellwerk.agent.program import run
    from stellwerk.agent.settings import AgentSettings

    if log_level not in LEVELS:
        raise typer.BadParameter(f"a log level is one of {', '.join(LEVELS)}", param_hint="--log-level")
    logging.basicConfig(level=logging.WARNING, format=LOG_FORM)
    logging.getLogger("stellwerk.agent").setLevel(log_level.upper())
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
