"""The options of `stellwerk agent run`: one type each, so that the command reads as what it does."""

from pathlib import Path
from typing import Annotated

import typer

Server = Annotated[
    str, typer.Option(envvar="STELLWERK_SERVER", metavar="https://HOST:PORT", help="TLS listener to join.")
]
Token = Annotated[
    str | None,
    typer.Option(envvar="STELLWERK_AGENT_TOKEN", help="Registration token; only for the first start."),
]
TokenFile = Annotated[Path | None, typer.Option(help="File with the token; read again at each registration.")]
Fingerprints = Annotated[
    list[str] | None,
    typer.Option(envvar="STELLWERK_CA_SHA256", help="Fingerprint of the server's CA; may be repeated."),
]
Bundle = Annotated[Path | None, typer.Option(help="PEM bundle to trust instead of a fingerprint.")]
DataDir = Annotated[
    Path, typer.Option(envvar="STELLWERK_AGENT_DATA_DIR", help="The agent's own folder; survives restarts.")
]
Name = Annotated[
    str | None, typer.Option(envvar="STELLWERK_AGENT_NAME", help="Its name; the host's by default.")
]
Labels = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")]
Capabilities = Annotated[
    list[str] | None,
    typer.Option(help="Take on only this (docker, compose, health, ssh, sticker); may be repeated."),
]
MostTasks = Annotated[int, typer.Option(min=1, max=1000, help="Tasks at once.")]
Drain = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="How long tasks may go on after SIGTERM.")
]
DockerHost = Annotated[str | None, typer.Option(envvar="DOCKER_HOST", help="The container engine's socket.")]
BindRoots = Annotated[
    list[Path] | None, typer.Option(help="Folder that containers may mount; any by default.")
]
StickerRoots = Annotated[
    list[Path] | None, typer.Option(help="Further folder for stickers; may be repeated.")
]
NoStream = Annotated[
    bool, typer.Option("--no-stream", help="Fetch tasks with heartbeats only; for odd proxies.")
]
LogLevel = Annotated[str, typer.Option(help="debug, info, warning or error.")]
