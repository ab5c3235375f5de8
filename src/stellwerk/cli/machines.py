"""`stellwerk agents` and `stellwerk agent show|drain|resume|revoke`: deployment agents, for operators.

`stellwerk agent run` is the agent itself (`agent_run.py`).
"""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table

PATH = "/api/v1/agents"

AgentArgument = Annotated[str, typer.Argument(help="Name or id.")]

machine = typer.Typer(no_args_is_help=True, help="Deployment agents: run, look at, drain, remove one.")


def machines(
    status: Annotated[str | None, typer.Option(help="online, offline or degraded.")] = None,
    capability: Annotated[str | None, typer.Option(help="Such as docker.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """List the deployment agents.

    Example: stellwerk agents --status online
    """
    query = {"status": status, "capability": capability, "pageSize": "1000"}
    text = urlencode({name: value for name, value in query.items() if value})
    rows = []
    for one in Remote(server, api_key).call("GET", f"{PATH}?{text}"):
        why = f" ({', '.join(one['statusReasons'])})" if one["statusReasons"] else ""
        drained = ", draining" if one["draining"] else ""
        can = ",".join(one["capabilities"])
        rows.append((one["name"], one["status"] + why + drained, can, one["lastHeartbeat"]))
    nothing = (
        "no such agent" if status or capability else "no agent has joined; `stellwerk token create` begins"
    )
    print_table(("agent", "status", "capabilities", "last heard"), rows, nothing)


@machine.command()
def show(agent: AgentArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Show everything about an agent.

    Example: stellwerk agent show agent-prod-01
    """
    shown = Remote(server, api_key).call("GET", f"{PATH}/{quote(agent, safe='')}")
    for name, value in shown.items():
        if isinstance(value, list):
            plain = all(isinstance(part, str) for part in value)
            typer.echo(f"{name}: {_fact(value) if plain else ''}".rstrip())
            for part in () if plain else value:
                typer.echo(f"  {_fact(part)}")
        else:
            typer.echo(f"{name}: {_fact(value)}")


@machine.command()
def drain(agent: AgentArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Give an agent nothing new; it finishes what it has.

    Example: stellwerk agent drain agent-prod-01
    """
    _post(server, api_key, agent, "drain")


@machine.command()
def resume(agent: AgentArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Give a drained agent tasks again.

    Example: stellwerk agent resume agent-prod-01
    """
    _post(server, api_key, agent, "resume")


@machine.command()
def revoke(agent: AgentArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Remove an agent for good; its certificates are worthless at once.

    Example: stellwerk agent revoke agent-prod-01
    """
    Remote(server, api_key).call("DELETE", f"{PATH}/{quote(agent, safe='')}")
    typer.echo(f"removed {agent}")


def _fact(value: Any) -> str:
    match value:
        case dict():
            return "  ".join(f"{name}={_fact(inner)}" for name, inner in value.items()) or "-"
        case list():
            return ", ".join(map(_fact, value)) or "-"
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case _:
            return str(value)


def _post(server: str, api_key: str | None, agent: str, verb: str) -> None:
    shown = Remote(server, api_key).call("POST", f"{PATH}/{quote(agent, safe='')}/{verb}")
    has = len(shown["tasks"])
    state = "drains" if shown["draining"] else "takes tasks"
    typer.echo(f"{shown['name']} {state}; it has {has} task{'' if has == 1 else 's'}")
