"""`stellwerk task run|show|cancel|logs`: tasks of deployment agents."""

import json
import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from stellwerk.cli.keys import duration_s
from stellwerk.cli.pairs import pairs
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

PATH = "/api/v1/tasks"
FOLLOW_S = 0.5
"""How often a followed task is looked at."""
ENDED = frozenset({"succeeded", "failed", "timed_out", "cancelled", "lost", "expired"})

TaskArgument = Annotated[str, typer.Argument(help="The id that `task run` prints.")]

tasks = typer.Typer(no_args_is_help=True, help="Tasks of deployment agents.")


@tasks.command()
def run(
    task_type: Annotated[str, typer.Argument(help="Such as docker.run.")],
    agent: Annotated[str | None, typer.Option(help="Name or id of the agent.")] = None,
    capability: Annotated[str | None, typer.Option(help="Any agent that has it.")] = None,
    selector: Annotated[list[str] | None, typer.Option(help="NAME=VALUE: any agent with the labels.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of the payload; JSON where it is; a.b sets b within a."),
    ] = None,
    secret: Annotated[
        list[str] | None, typer.Option(help="CREDENTIAL=NAME: the task gets the secret as the credential.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="Such as 5m.")] = None,
    priority: Annotated[str, typer.Option(help="low, normal, high, critical, urgent or 0 to 49.")] = "normal",
    idempotent: Annotated[
        bool | None, typer.Option(help="Whether it may run again unasked; by default as its type is.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show its log and wait for its end.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Give a task to an agent.

    Example: stellwerk task run docker.run --agent agent-prod-01 --set image=app@sha256:… --follow
    """
    credentials = {name: f"secret:{value}" for name, value in pairs(secret).items()}
    body: dict[str, Any] = {
        "taskType": task_type,
        "payload": payload(set_),
        "credentials": credentials,
        "priority": int(priority) if priority.isdigit() else priority,
    }
    labels = pairs(selector)
    given = {
        "agent": agent,
        "capability": capability,
        "selector": {"labels": labels} if labels else None,
        "timeout": None if timeout is None else duration_s(timeout),
        "idempotent": idempotent,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    remote = Remote(server, api_key)
    task_id = remote.call("POST", PATH, body)["taskId"]
    typer.echo(task_id, err=follow)
    if follow and not _follow(remote, task_id):
        raise typer.Exit(1)


@tasks.command()
def show(task_id: TaskArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Show a task.

    Example: stellwerk task show 0199…
    """
    typer.echo(json.dumps(Remote(server, api_key).call("GET", _path(task_id)), indent=2))


@tasks.command()
def cancel(task_id: TaskArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Cancel a task; one that runs is asked to stop.

    Example: stellwerk task cancel 0199…
    """
    typer.echo(Remote(server, api_key).call("POST", _path(task_id) + "/cancel")["status"])


@tasks.command()
def logs(
    task_id: TaskArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for its end.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show what a task logged.

    Example: stellwerk task logs 0199… --follow
    """
    remote = Remote(server, api_key)
    if follow:
        _follow(remote, task_id)
    else:
        _lines(remote, task_id, 0)


def payload(given: list[str] | None) -> dict[str, Any]:
    """Read `--set` options into a payload: `a.b=1` is `{"a": {"b": 1}}`."""
    found: dict[str, Any] = {}
    for name, text in pairs(given).items():
        place = found
        *outer, last = name.split(".")
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                typer.echo(f"{name!r} sets a field of what is no object", err=True)
                raise typer.Exit(2)
        place[last] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _follow(remote: Remote, task_id: str) -> bool:
    """Show a task's log until it ends; return whether it succeeded."""
    start, said = 0, ""
    while True:
        task = remote.call("GET", _path(task_id))
        start = _lines(remote, task_id, start)
        progress = "" if task["progress"] is None else f" {task['progress']:.0f} %"
        now = f"{task['status']}{progress} {task['message'] or ''}".rstrip()
        if now != said:
            typer.echo(now, err=True)
            said = now
        if task["status"] in ENDED:
            done = task["status"] == "succeeded"
            typer.echo(json.dumps(task["result" if done else "error"], indent=2))
            return bool(done)
        time.sleep(FOLLOW_S)


def _lines(remote: Remote, task_id: str, start: int) -> int:
    while True:
        page = remote.call("GET", f"{_path(task_id)}/logs?from={start}")
        for line in page["lines"]:
            typer.echo(f"{line['timestamp']} {line['level']:<7} {line['message']}")
        start = page["next"]
        if not page["more"]:
            return int(start)


def _path(task_id: str) -> str:
    return f"{PATH}/{quote(task_id, safe='')}"
