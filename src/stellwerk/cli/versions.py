"""`stellwerk versions|weight|restart`: versions of agents and their traffic.

With an API key (or none, on an open listener) they speak to the operators' paths, with a connector token to
the connector's: the same operations, so that a pipeline needs nothing but its token.
"""

import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from stellwerk.cli.keys import duration_s
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table

API_KEY = "sw_"
"""How API keys begin. A connector token may be any text, as the settings may name one."""

AgentArgument = Annotated[str, typer.Argument(help="Id of the agent.")]


def versions(agent: AgentArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """List the versions of an agent with weights, shares and figures.

    Example: stellwerk versions hello
    """
    shown = Remote(server, api_key).call("GET", f"{_path(api_key, agent)}/versions")
    rows = [_row(one) for one in shown["versions"]]
    heading = ("version", "weight", "share", "health", "instances", "calls", "errors", "p50", "p95", "p99")
    print_table(heading, rows, "it has no versions")


def weight(
    agent: AgentArgument,
    weights: Annotated[list[str], typer.Argument(metavar="VERSION=WEIGHT…", help="0 to 10000; 0 is off.")],
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Set weights of versions, all of them at once, and show what share of the calls each gets.

    Example: stellwerk weight hello 1.0.0=9000 2.0.0=1000
    """
    body = {"weights": dict(_pair(text) for text in weights)}
    done = Remote(server, api_key).call("PUT", f"{_path(api_key, agent)}/weights", body)
    rows = [
        (
            version,
            _weight(done["previous_weights"].get(version)),
            _weight(now),
            f"{done['shares'].get(version, 0):g} %",
        )
        for version, now in done["weights"].items()
    ]
    print_table(("version", "weight before", "now", "share"), rows, "it has no versions")


def restart(
    agent: AgentArgument,
    version: Annotated[
        str | None, typer.Argument(help="All versions, one instance after the other, if left out.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also the last healthy instance, and what nobody is known to start again."
        ),
    ] = False,
    wait: Annotated[str, typer.Option(help="How long to wait until it is back, such as 30s.")] = "2m",
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Restart a version of an agent and wait until it is back.

    Example: stellwerk restart hello 2.0.0
    """
    remote, path = Remote(server, api_key), _path(api_key, agent)
    of = f"{path}/versions/{quote(version, safe='')}" if version else path
    until = time.monotonic() + duration_s(wait)
    forced = "true" if force else "false"
    shown = remote.call("POST", f"{of}/restart?force={forced}&wait_s=0")
    typer.echo(f"{shown['restart_id']} requested", err=True)
    while shown["state"] == "requested" and time.monotonic() < until:
        time.sleep(LOOK_S)
        shown = remote.call("GET", f"{path}/restarts/{shown['restart_id']}")
    typer.echo(_told(shown))
    if shown["state"] != "restarted":
        raise typer.Exit(1)


LOOK_S = 0.5


def _told(shown: dict[str, Any]) -> str:
    moved = ", ".join(
        f"{one['version']} {one['instance_id']} → {one['replaced_by'] or '…'}" for one in shown["instances"]
    )
    detail = f": {shown['detail']}" if shown["detail"] else ""
    return f"{shown['state']} {moved}{detail}"


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    figures = one["figures"]
    return (
        one["version"],
        _weight(one["traffic_weight"]),
        f"{one['share_percent']:g} %",
        one["health_status"],
        str(len(one["instances"])),
        str(figures["calls"]),
        str(figures["errors"]),
        *(_ms(figures[name]) for name in ("p50_ms", "p95_ms", "p99_ms")),
    )


def _weight(weight: int | None) -> str:
    return "unset" if weight is None else str(weight)


def _ms(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.1f} ms"


def _pair(text: str) -> tuple[str, int]:
    version, equals, number = text.rpartition("=")
    if not (version and equals and number.isdecimal()):
        typer.echo(f"{text!r} is not of the form VERSION=WEIGHT", err=True)
        raise typer.Exit(2)
    return version, int(number)


def _path(api_key: str | None, agent: str) -> str:
    by_key = not api_key or api_key.startswith(API_KEY)
    prefix = "/api/v1/traffic" if by_key else "/connector"
    return f"{prefix}/reasoners/{quote(agent, safe='')}"
