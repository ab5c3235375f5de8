"""`stellwerk remedy`: look at remedies, and decide about them."""

from typing import Annotated, Any

import typer

from stellwerk.cli.incidents.remedying import follow as follow_remedy
from stellwerk.cli.incidents.remedying import path_of
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table

remedies = typer.Typer(help="Remedies of investigations.", no_args_is_help=True)
IdArgument = Annotated[str, typer.Argument(help="Id of the remedy, rem_….")]


@remedies.command()
def show(remedy_id: IdArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Show a remedy.

    Example: stellwerk remedy show rem_3f9a1c
    """
    for line in _lines(Remote(server, api_key).call("GET", path_of(remedy_id))):
        typer.echo(line)


@remedies.command()
def approve(remedy_id: IdArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Approve a remedy that somebody else asked for, and follow it.

    Example: stellwerk remedy approve rem_3f9a1c
    """
    remote = Remote(server, api_key)
    raise typer.Exit(follow_remedy(remote, remote.call("POST", f"{path_of(remedy_id)}/approve")))


@remedies.command()
def reject(remedy_id: IdArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Reject a remedy that somebody else asked for.

    Example: stellwerk remedy reject rem_3f9a1c
    """
    shown = Remote(server, api_key).call("POST", f"{path_of(remedy_id)}/reject")
    typer.echo(f"{shown['remedy_id']} {shown['state']}")


@remedies.command()
def follow(remedy_id: IdArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Follow a remedy to its end.

    Example: stellwerk remedy follow rem_3f9a1c
    """
    remote = Remote(server, api_key)
    raise typer.Exit(follow_remedy(remote, remote.call("GET", path_of(remedy_id))))


@remedies.command("workflows")
def list_workflows(server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """List the catalogue.

    Example: stellwerk remedy workflows
    """
    found = Remote(server, api_key).call("GET", "/api/v1/incident/workflows")["workflows"]
    rows = [
        (one["id"], one["action_type"], one["risk"], ", ".join(one["causes"][:3]) or "on request")
        for one in found
    ]
    print_table(("workflow", "action", "risk", "causes"), rows, "the catalogue is empty")


def _lines(shown: dict[str, Any]) -> list[str]:
    target, workflow = shown["target"], shown["workflow"]
    lines = [
        f"{shown['remedy_id']} {shown['state']}: {workflow['name']} ({workflow['workflow_id']})",
        f"  target       {target['kind']}/{target['name']} in {target['namespace']}",
        f"  environment  {shown['environment']}",
        f"  asked for    {shown['requested_at']} by {shown['requested_by']}",
    ]
    if shown["needs_approval"]:
        lines.append(f"  approval     needed, because {shown['needs_approval']}")
    if shown["decided_by"]:
        lines.append(f"  decided      {shown['decided_at']} by {shown['decided_by']}")
    if shown["message"]:
        lines.append(f"  result       {shown['message']}")
    return lines
