"""`stellwerk plan`: what an operation would do."""

from enum import StrEnum
from typing import Annotated

import typer

from stellwerk.cli.conductor.deploying import show_plan
from stellwerk.cli.conductor.options import (
    DEFAULT,
    ForceOption,
    InstanceOption,
    JsonOption,
    PruneOption,
    ServicesArgument,
    wish,
)
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

CHANGES = 2
"""Status with `--exit-code` where something would change, as other tools have it."""


class PlannedAction(StrEnum):
    """What can be planned."""

    UP = "up"
    DOWN = "down"
    ROLLBACK = "rollback"


def plan(
    services: ServicesArgument = None,
    action: Annotated[PlannedAction, typer.Option(help="What would be done.")] = PlannedAction.UP,
    revision: Annotated[int | None, typer.Option(help="For a rollback: to which release.")] = None,
    instance: InstanceOption = DEFAULT,
    force: ForceOption = False,
    prune: PruneOption = True,
    everything: Annotated[bool, typer.Option("--all", help="Also list what stays as it is.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 2 where something would change.")
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show what would change, object by object and field by field. The cluster tries it; nothing is changed.

    Ends with status 1 if it would be refused.

    Example: stellwerk plan frontend
    """
    body = wish(services, action=action.value, revision=revision, instance=instance, force=force, prune=prune)
    made = Remote(server, api_key).call("POST", "/api/plan", body)
    status = show_plan(made, as_json=as_json, everything=everything)
    if exit_code and not status:
        status = CHANGES if made["summary"].keys() - {"unchanged", "keep"} else 0
    raise typer.Exit(status)
