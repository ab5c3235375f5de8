"""`stellwerk status`, `pause`, `resume`, `requirements`: how services and their cluster are."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from stellwerk.cli.conductor.lines import moment, why_of
from stellwerk.cli.conductor.options import DEFAULT, InstanceOption, JsonOption
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table

NOT_WELL = frozenset({"degraded", "progressing", "missing", "unknown"})
_COLOURS = {"healthy": "green", "degraded": "bright_red", "missing": "bright_red", "progressing": "yellow"}

ServiceArgument = Annotated[str, typer.Argument(help="Name of the service.")]


def status(
    service: Annotated[
        str | None, typer.Argument(help="Show one with its objects, drift, errors and changes.")
    ] = None,
    instance: InstanceOption = DEFAULT,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show how services are, and what is wrong with them. Ends with status 1 if a deployed one is not well.

    Example: stellwerk status frontend
    """
    remote = Remote(server, api_key)
    query = urlencode({"instance": instance})
    if service is None:
        found = remote.call("GET", f"/api/services/health?{query}")
        shown = found["services"]
    else:
        path = f"/api/services/{quote(service, safe='')}"
        tree = remote.call("GET", f"{path}?{query}")
        state = remote.call("GET", f"{path}/state?{query}")
        found, shown = {"service": tree, "state": state}, [tree]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_health(shown)
        if service is not None:
            for line in (*_tree_lines(found["service"]["objects"]), *_state_lines(found["state"])):
                typer.echo(line)
    if any(one["installed"] and one["health"] in NOT_WELL for one in shown):
        raise typer.Exit(1)


def pause(
    service: ServiceArgument,
    why: Annotated[str, typer.Option(help="Kept with the pause.")] = "",
    instance: InstanceOption = DEFAULT,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Let the reconciler leave a service alone, say while somebody tries something by hand.

    Example: stellwerk pause frontend --why "looking at its threads"
    """
    path = f"/api/services/{quote(service, safe='')}/pause?{urlencode({'instance': instance})}"
    typer.echo(Remote(server, api_key).call("POST", path, {"why": why})["message"])


def resume(
    service: ServiceArgument,
    instance: InstanceOption = DEFAULT,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Let the reconciler see to a service again.

    Example: stellwerk resume frontend
    """
    path = f"/api/services/{quote(service, safe='')}/resume?{urlencode({'instance': instance})}"
    typer.echo(Remote(server, api_key).call("POST", path)["message"])


def requirements(
    as_json: JsonOption = False, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None
) -> None:
    """Say whether the cluster meets `requirements.yaml`. Ends with status 1 if it does not.

    Example: stellwerk requirements
    """
    found = Remote(server, api_key).call("GET", "/api/cluster/requirements")
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        rows = [
            (one["name"], one["status"], "required" if one["required"] else "", one.get("message", ""))
            for one in found["requirements"]
        ]
        print_table(("requirement", "status", "", "found"), rows, "the application asks for nothing")
    if found["overall"] == "fail":
        raise typer.Exit(1)


def _print_health(services: list[dict[str, Any]]) -> None:
    rows = [
        (
            one["name"],
            one["health"] if one["installed"] else "not deployed",
            one["namespace"],
            str(one.get("drifted") or ""),
            _why(one) if one["installed"] else "",
        )
        for one in services
    ]
    heading = ("service", "health", "namespace", "drifted", "why")
    print_table(
        heading, rows, "the application has no services; `stellwerk serve --manifests DIR` serves one"
    )


def _why(one: Mapping[str, Any]) -> str:
    text = why_of(one)
    return f"{one['resource']}: {text}" if text and one.get("resource") else text


def _tree_lines(nodes: list[dict[str, Any]], depth: int = 1) -> Iterator[str]:
    for node in nodes:
        health = typer.style(f"{node['health']:<11}", fg=_COLOURS.get(node["health"]))
        drift = f"  drift: {node['drift']}" if node.get("drift") else ""
        below = node.get("children", [])
        # What is wrong with a pod is told of its makers as well: once is enough.
        told = node["health"] in NOT_WELL and not any(one["health"] in NOT_WELL for one in below)
        yield f"{'  ' * depth}{health} {node['resource']}{drift}" + (f"  {why_of(node)}" if told else "")
        yield from _tree_lines(below, depth + 1)


def _state_lines(state: Mapping[str, Any]) -> Iterator[str]:
    last = state["lastReconciliation"]
    if last is not None:
        yield f"  {state['state']}; last reconciled {moment(last['at'])} by {last['kind']}: {last['result']}"
    if state["paused"] is not None:
        pause = state["paused"]
        yield f"  paused by {pause['by']} since {moment(pause['at'])}: {pause['why']}"
    for drift in state["drift"]:
        what = ", ".join(drift.get("fields", [])) or drift.get("message", "")
        owner = f", set by {drift['owner']}" if drift.get("owner") else ""
        yield typer.style(f"  drift: {drift['resource']} is {drift['kind']}: {what}{owner}", fg="yellow")
    for error in state["errors"]:
        where = f"{error['resource']}: " if error.get("resource") else ""
        times = f" ({error['times']} times)" if error["times"] > 1 else ""
        yield f"  error {moment(error['lastAt'])}{times}: {where}{error['reason']}: {error['message']}"
