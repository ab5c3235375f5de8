"""`stellwerk events`: what happened to the services."""

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from stellwerk.cli.conductor.lines import moment
from stellwerk.cli.conductor.options import JsonOption
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

_COLOURS = {"error": "bright_red", "warning": "yellow", "success": "green"}


class EventType(StrEnum):
    """What an event is."""

    ERROR = "error"
    WARNING = "warning"
    SUCCESS = "success"
    INFO = "info"


def events(
    resource: Annotated[
        str | None, typer.Argument(help="NAMESPACE/KIND/NAME, such as default/Deployment/frontend.")
    ] = None,
    type_: Annotated[EventType | None, typer.Option("--type", help="Only of this type.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on and show what happens.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show events, the newest last, with the reasons of what failed.

    Example: stellwerk events default/Deployment/frontend --type error
    """
    given = {"resource": resource, "type": type_ and type_.value}
    chosen = {name: value for name, value in given.items() if value is not None}
    remote = Remote(server, api_key)
    for event in reversed(remote.call("GET", f"/api/events?{urlencode({**chosen, 'limit': limit})}")):
        _print(event, as_json)
    if follow:
        try:
            for event in _streamed(remote.lines(f"/api/events/stream?{urlencode(chosen)}")):
                _print(event, as_json)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def _streamed(lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        name, _, data = line.partition(":")
        if name == "data":
            yield json.loads(data)


def _print(event: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(event, ensure_ascii=False))
        return
    kind = typer.style(f"{event['type']:<7}", fg=_COLOURS.get(event["type"]))
    where = f"  {event['resourceKey']}" if event.get("resourceKey") else ""
    message, error = event["message"], event.get("error") or ""
    if error and error not in message:
        # A word for programs stands before what it is about, a sentence behind it.
        message = f"{message}: {error}" if " " in error else f"{error}: {message}"
    details = event.get("details") or {}
    if not where and "operationId" in details:
        message += f" ({details['operation']}, {details['operationId']})"
    typer.echo(f"{moment(event['timestamp'])}  {kind}{where}  {message}")
