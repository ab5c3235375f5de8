"""`stellwerk task run|show|cancel|logs`: tasks of deployment agents."""

import json
from typing import Annotated, Any

import typer

from stellwerk.cli.following import TASKS, follow, path_of, print_lines
from stellwerk.cli.keys import duration_s
from stellwerk.cli.pairs import pairs
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

TaskArgument = Annotated[str, typer.Argument(help="The id that `task run` prints.")]

FollowOption = Annotated[bool, typer.Option("--follow", help="Show its log and wait for its end.")]
WaitOption = Annotated[
    str, typer.Option(help="With --follow: how long to wait for an agent to take it, such as 30s.")
]
WAIT = "5m"

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
    follow_: FollowOption = False,
    wait: WaitOption = WAIT,
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
    wait_s = duration_s(wait)
    remote = Remote(server, api_key)
    task_id = remote.call("POST", TASKS, body)["taskId"]
    typer.echo(task_id, err=follow_)
    if follow_:
        raise typer.Exit(follow(remote, task_id, wait_s=wait_s, wanted=body))


@tasks.command()
def show(task_id: TaskArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Show a task.

    Example: stellwerk task show 0199…
    """
    typer.echo(json.dumps(Remote(server, api_key).call("GET", path_of(task_id)), indent=2))


@tasks.command()
def cancel(task_id: TaskArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Cancel a task; one that runs is asked to stop.

    Example: stellwerk task cancel 0199…
    """
    typer.echo(Remote(server, api_key).call("POST", path_of(task_id) + "/cancel")["status"])


@tasks.command()
def logs(
    task_id: TaskArgument,
    follow_: FollowOption = False,
    wait: WaitOption = WAIT,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show what a task logged.

    Example: stellwerk task logs 0199… --follow
    """
    remote = Remote(server, api_key)
    if follow_:
        raise typer.Exit(follow(remote, task_id, wait_s=duration_s(wait)))
    print_lines(remote, task_id, 0)


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
