"""`stellwerk operation list|show|follow|cancel`: runs of up, update, down and rollback."""

import json
from typing import Annotated

import typer

from stellwerk.cli.conductor.following import follow as follow_operation
from stellwerk.cli.conductor.following import operation_path
from stellwerk.cli.conductor.lines import moment, services_line
from stellwerk.cli.conductor.options import DEFAULT, InstanceOption, JsonOption
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table

OperationArgument = Annotated[str, typer.Argument(metavar="ID", help="As `up --no-wait` prints it.")]

operations = typer.Typer(no_args_is_help=True, help="Runs of up, update, down and rollback.")


@operations.command("list")
def list_operations(
    instance: InstanceOption = DEFAULT,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """List operations, newest first.

    Example: stellwerk operation list --limit 5
    """
    found = Remote(server, api_key).call("GET", f"/api/operations?instance={instance}&limit={limit}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    rows = [
        (
            one["id"],
            one["kind"],
            one["state"],
            f"{one['progress']['done']}/{one['progress']['total']}",
            moment(one["requestedAt"]),
            one["by"],
            services_line(one["services"]),
        )
        for one in found["operations"]
    ]
    print_table(("id", "kind", "state", "objects", "requested", "by", "services"), rows, "there are none")


@operations.command()
def show(
    operation: OperationArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None
) -> None:
    """Show an operation with every object, as JSON.

    Example: stellwerk operation show op_1f2e3d4c5b6a7988
    """
    found = Remote(server, api_key).call("GET", operation_path(operation))
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


@operations.command()
def follow(
    operation: OperationArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None
) -> None:
    """Follow an operation to its end; the status is 0 if it succeeds.

    Example: stellwerk operation follow op_1f2e3d4c5b6a7988
    """
    remote = Remote(server, api_key)
    status, _ = follow_operation(remote, remote.call("GET", operation_path(operation)))
    raise typer.Exit(status)


@operations.command()
def cancel(
    operation: OperationArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None
) -> None:
    """Ask for the end of an operation; what it did until then stands, and `rollback` takes it back.

    Example: stellwerk operation cancel op_1f2e3d4c5b6a7988
    """
    found = Remote(server, api_key).call("POST", operation_path(operation) + "/cancel")
    typer.echo(f"{found['id']} is asked to end; it is {found['state']} now")
