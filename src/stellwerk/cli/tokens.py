"""`stellwerk token create|list|revoke`: what admits deployment agents."""

from typing import Annotated, Any

import typer

from stellwerk.cli.keys import duration_s
from stellwerk.cli.pairs import pairs
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

PATH = "/api/v1/admin/agent-tokens"

tokens = typer.Typer(no_args_is_help=True, help="Registration tokens of deployment agents.")


@tokens.command()
def create(
    agent: Annotated[bool, typer.Option("--agent", help="For a deployment agent: the only kind.")] = True,
    name: Annotated[str | None, typer.Option(help="The only name that it admits.")] = None,
    capability: Annotated[list[str] | None, typer.Option(help="A capability that it admits; repeat.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE that the agent gets; repeat.")] = None,
    ttl: Annotated[str | None, typer.Option(help="Lifetime such as 15m or 12h, up to 24h.")] = None,
    replaces: Annotated[str | None, typer.Option(help="Id of the agent whose place it takes.")] = None,
    address: Annotated[
        str, typer.Option(help="Where the agent reaches the server, for the printed command.")
    ] = "https://HOST:8443",
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Make a token and print it, once, with the command for the machine.

    Example: stellwerk token create --agent --name agent-prod-01 --label role=deployment
    """
    body: dict[str, Any] = {"labels": pairs(label)}
    given = {"name": name, "capabilities": capability, "replaces": replaces}
    body |= {field: value for field, value in given.items() if value}
    if ttl is not None:
        body["ttlSeconds"] = duration_s(ttl)
    made = Remote(server, api_key).call("POST", PATH, body)
    typer.echo(made["token"])
    typer.echo(
        f"token {made['tokenId']} admits one agent until {made['expiresAt']}; it is not shown again\n"
        f"SHA-256 of the server's CA: {made['caSha256']}\n"
        "On the machine that deploys:\n"
        f"  stellwerk agent run --server {address} --token {made['token']} --ca-sha256 {made['caSha256']}"
        + (f" --name {name}" if name else ""),
        err=True,
    )


@tokens.command("list")
def list_tokens(server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """List the tokens and what became of them.

    Example: stellwerk token list
    """
    for one in Remote(server, api_key).call("GET", PATH):
        state = f"until {one['expiresAt']}"
        if one["usedAt"]:
            state = f"used by {one['usedBy']}"
        elif one["revokedAt"]:
            state = "revoked"
        typer.echo(f"{one['tokenId']}  {one['name'] or '(any name)':<24} {state}")


@tokens.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="The id that `token list` shows.")],
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Revoke a token that was not used yet.

    Example: stellwerk token revoke 3f9a1c
    """
    Remote(server, api_key).call("DELETE", f"{PATH}/{token_id}")
    typer.echo(f"revoked {token_id}")
