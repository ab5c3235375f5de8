"""`stellwerk up|update|down|rollback`: what changes the cluster."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from stellwerk.cli.conductor.following import follow, operation_path
from stellwerk.cli.conductor.lines import plan_lines
from stellwerk.cli.conductor.options import (
    DEFAULT,
    DeadlineOption,
    DryRunOption,
    ForceOption,
    InstanceOption,
    JsonOption,
    NamespacesOption,
    NoteOption,
    PruneOption,
    ServicesArgument,
    VolumesOption,
    WaitOption,
    YesOption,
    wish,
)
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

AutoRollbackOption = Annotated[
    bool,
    typer.Option("--auto-rollback", help="If it fails for good, go back to the last release that worked."),
]


def up(
    services: ServicesArgument = None,
    instance: InstanceOption = DEFAULT,
    wait: WaitOption = True,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    prune: PruneOption = True,
    auto_rollback: AutoRollbackOption = False,
    deadline: DeadlineOption = None,
    note: NoteOption = None,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Deploy services, and wait until they are healthy. What is not named is not touched.

    Ends with status 1 if it fails, after saying which object and why.

    Example: stellwerk up frontend redis --auto-rollback
    """
    body = wish(
        services,
        deadline=deadline,
        instance=instance,
        force=force,
        prune=prune,
        autoRollback=auto_rollback,
        note=note,
    )
    _deploy(Remote(server, api_key), "up", body, wait=wait, dry_run=dry_run, as_json=as_json)


def update(
    services: ServicesArgument = None,
    instance: InstanceOption = DEFAULT,
    wait: WaitOption = True,
    dry_run: DryRunOption = False,
    force: ForceOption = False,
    prune: PruneOption = True,
    auto_rollback: AutoRollbackOption = False,
    deadline: DeadlineOption = None,
    note: NoteOption = None,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Deploy services afresh, say after parameters were changed; it does what `up` does.

    Example: stellwerk parameters patch services.redis.replicas=5 && stellwerk update redis
    """
    body = wish(
        services,
        deadline=deadline,
        instance=instance,
        force=force,
        prune=prune,
        autoRollback=auto_rollback,
        note=note,
    )
    _deploy(Remote(server, api_key), "update", body, wait=wait, dry_run=dry_run, as_json=as_json)


def down(
    services: ServicesArgument = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All services; needed where none is named.")
    ] = False,
    instance: InstanceOption = DEFAULT,
    wait: WaitOption = True,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    volumes: VolumesOption = False,
    namespaces: NamespacesOption = False,
    deadline: DeadlineOption = None,
    note: NoteOption = None,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Remove services: only what they own, and volumes and namespaces only if asked for. Asks first.

    Example: stellwerk down web-app --yes
    """
    if bool(services) == everything:
        typer.echo("name services, or say --all", err=True)
        raise typer.Exit(2)
    body = wish(
        services, deadline=deadline, instance=instance, volumes=volumes, namespaces=namespaces, note=note
    )
    remote = Remote(server, api_key)
    if not (yes or dry_run):
        _confirm(remote, "down", body)
    if everything:
        body |= {"all": True}
    _deploy(remote, "down", body, wait=wait, dry_run=dry_run, as_json=as_json)


def rollback(
    revision: Annotated[
        int | None, typer.Argument(help="As `history` shows it; else the last before this that succeeded.")
    ] = None,
    service: Annotated[list[str] | None, typer.Option(help="Only this one; may be given again.")] = None,
    instance: InstanceOption = DEFAULT,
    wait: WaitOption = True,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    force: ForceOption = False,
    deadline: DeadlineOption = None,
    note: NoteOption = None,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Go back to a release: its objects and its parameters. Asks first where something is removed by it.

    Example: stellwerk rollback 3
    """
    body = wish(service, deadline=deadline, instance=instance, force=force, revision=revision, note=note)
    remote = Remote(server, api_key)
    if not (yes or dry_run):
        _confirm(remote, "rollback", body, only_removals=True)
    _deploy(remote, "rollback", body, wait=wait, dry_run=dry_run, as_json=as_json)


def _deploy(
    remote: Remote, action: str, body: Mapping[str, Any], *, wait: bool, dry_run: bool, as_json: bool
) -> None:
    if dry_run:
        shown = remote.call("POST", f"/api/{action}", {**body, "dryRun": True})
        raise typer.Exit(show_plan(shown["plan"], as_json=as_json))
    operation = remote.call("POST", f"/api/{action}", {**body, "wait": False})["operation"]
    status = 0
    if wait:
        status, operation = follow(remote, operation, quiet=as_json)
        if operation["rolledBackBy"] and not as_json:
            typer.echo(f"rolling back, as was asked for ({operation['rolledBackBy']})")
            follow(remote, remote.call("GET", operation_path(operation["rolledBackBy"])))
    if as_json:
        typer.echo(json.dumps(operation, indent=2, ensure_ascii=False))
    elif not wait:
        typer.echo(operation["id"])
    raise typer.Exit(status)


def show_plan(plan: Mapping[str, Any], *, as_json: bool, everything: bool = False) -> int:
    """Write a plan; return the exit status, which is 1 for one that would be refused."""
    if as_json:
        typer.echo(json.dumps(plan, indent=2, ensure_ascii=False))
    else:
        for line in plan_lines(plan, everything=everything):
            typer.echo(line)
    return 1 if plan["blocked"] else 0


def _confirm(remote: Remote, action: str, body: Mapping[str, Any], *, only_removals: bool = False) -> None:
    """Show what would go, and ask; without somebody to ask nothing is done."""
    plan = remote.call("POST", f"/api/{action}", {**body, "dryRun": True, **_all(action, body)})["plan"]
    if only_removals and not plan["summary"].get("delete"):
        return
    for line in plan_lines(plan):
        typer.echo(line, err=True)
    if not sys.stdin.isatty():
        typer.echo("this removes objects, and nobody can be asked here: say --yes", err=True)
        raise typer.Exit(2)
    if not typer.confirm("Do this?", err=True):
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(1)


def _all(action: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"all": True} if action == "down" and not body["services"] else {}
