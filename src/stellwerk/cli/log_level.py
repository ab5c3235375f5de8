"""`stellwerk log-level`: how much a running server logs."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

PATH = "/logs/levels"


class Level(StrEnum):
    """What is written, and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    RESET = "reset"
    """Not a level: that of the settings again."""


def log_level(
    level: Annotated[
        Level | None, typer.Argument(help="The new level; `reset` for that of the settings. Without: show.")
    ] = None,
    logger: Annotated[str, typer.Option(help="A module, with all below it.")] = "stellwerk",
    for_s: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", help="As before after so long; at most a day.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show or change the log levels of one server process; replicas are addressed one by one.

    Example: stellwerk log-level debug --logger stellwerk.work --for 600
    """
    remote = Remote(server, api_key)
    if level is None:
        _print(remote.call("GET", PATH))
        return
    wanted: dict[str, Any] = {"logger": logger}
    if level is not Level.RESET:
        wanted |= {"level": level.value} | ({} if for_s is None else {"for_s": for_s})
    _print(remote.call("PUT", PATH, wanted))


def _print(shown: Any) -> None:
    typer.echo(f"{shown['process']}  settings: {shown['configured']}")
    for one in shown["changes"]:
        left = "until it ends" if one["remaining_s"] is None else f"{one['remaining_s']:.0f} s more"
        typer.echo(f"{one['logger']:<32} {one['level']:<8} {left}")
