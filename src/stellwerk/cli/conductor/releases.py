"""`stellwerk history` and `stellwerk diff`: releases, and how they differ."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from stellwerk.cli.conductor.lines import change_lines, moment, object_lines, services_line
from stellwerk.cli.conductor.options import DEFAULT, InstanceOption, JsonOption
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table


def history(
    instance: InstanceOption = DEFAULT,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 20,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """List releases, newest first: what `rollback` can go back to.

    Example: stellwerk history
    """
    found = Remote(server, api_key).call("GET", f"/api/releases?instance={instance}&limit={limit}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    rows = [
        (
            str(one["revision"]),
            one["kind"],
            one["result"],
            moment(one["at"]),
            one["by"],
            services_line(one["services"]),
            one["note"],
        )
        for one in found["releases"]
    ]
    print_table(
        ("revision", "kind", "result", "at", "by", "services", "note"), rows, "nothing was released yet"
    )


def diff(
    revision: Annotated[int | None, typer.Argument(help="As `history` shows it; else the newest.")] = None,
    against: Annotated[int | None, typer.Option(help="Another revision; else the one before.")] = None,
    instance: InstanceOption = DEFAULT,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show how a release differs from another: objects, field by field, and parameters.

    What the manifests would change now is shown by `plan`.

    Example: stellwerk diff 7 --against 3
    """
    remote = Remote(server, api_key)
    if revision is None:
        newest = remote.call("GET", f"/api/releases?instance={instance}&limit=1")["releases"]
        if not newest:
            typer.echo("nothing was released yet", err=True)
            raise typer.Exit(1)
        revision = newest[0]["revision"]
    other = "" if against is None else f"&against={against}"
    found = remote.call("GET", f"/api/releases/{revision}/diff?instance={instance}{other}")
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    before = "nothing" if found["against"] is None else f"release {found['against']}"
    typer.echo(f"From {before} to release {found['revision']}:")
    for one in found["objects"]:
        for line in object_lines(one):
            typer.echo(line)
    parameters = found.get("parameters")
    if parameters:
        typer.echo("parameters")
        for change in parameters:
            for line in change_lines(change):
                typer.echo(line)
    if not found["objects"] and not parameters:
        typer.echo("They do not differ.", err=True)
