"""`stellwerk token create|list|revoke`: what admits deployment agents, and what connectors show."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from stellwerk.cli.connectors import (
    create_connector_token,
    list_connector_tokens,
    revoke_connector_token,
)
from stellwerk.cli.keys import duration_s
from stellwerk.cli.pairs import pairs
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table

PATH = "/api/v1/admin/agent-tokens"

tokens = typer.Typer(no_args_is_help=True, help="Tokens of deployment agents and of connectors.")

ConnectorOption = Annotated[bool, typer.Option("--connector", help="Tokens of connectors instead.")]


class _Create(TyperCommand):
    """Takes `--agent` in both of its meanings: alone for a deployment agent, with an id for a connector."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Drop the one that says nothing."""
        kept = args if "--connector" in args else [one for one in args if one != "--agent"]
        return super().parse_args(ctx, kept)


@tokens.command(cls=_Create)
def create(
    connector: Annotated[
        bool, typer.Option("--connector", help="For a pipeline or platform; else for a deployment agent.")
    ] = False,
    agent: Annotated[
        list[str] | None,
        typer.Option(help="With --connector: an agent that it is for; repeat. All by default."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="With --connector: lifetime such as 90d; none by default.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The only name that it admits; with --connector what it is called.")
    ] = None,
    capability: Annotated[list[str] | None, typer.Option(help="A capability that it admits; repeat.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE that the agent gets; repeat.")] = None,
    ttl: Annotated[str | None, typer.Option(help="Lifetime such as 15m or 12h, up to 24h.")] = None,
    replaces: Annotated[str | None, typer.Option(help="Id of the agent whose place it takes.")] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="https://HOST:PORT by which the agent reaches the server, for the printed command."
        ),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Make a token and print it, once, with the command for the machine.

    Example: stellwerk token create --agent --name agent-prod-01 --label role=deployment
    Example: stellwerk token create --connector --capability versions:write --agent hello --expires 90d
    """
    if connector:
        if not capability or label or ttl or replaces or address:
            typer.echo("--connector takes --capability (repeat), --agent, --expires and --name", err=True)
            raise typer.Exit(2)
        remote = Remote(server, api_key)
        create_connector_token(remote, name or "connector", capability, agent, expires)
        return
    if expires:
        typer.echo("--expires is for --connector; --ttl limits a registration token", err=True)
        raise typer.Exit(2)
    body: dict[str, Any] = {"labels": pairs(label)}
    given = {"name": name, "capabilities": capability, "replaces": replaces}
    body |= {field: value for field, value in given.items() if value}
    if ttl is not None:
        body["ttlSeconds"] = duration_s(ttl)
    if address is None:
        address = server if server.startswith("https://") else "https://HOST:8443"
    options = [f"--name {name}"] if name else []
    options += [f"--capability {one}" for one in capability or ()]
    made = Remote(server, api_key).call("POST", PATH, body)
    typer.echo(made["token"])
    typer.echo(
        f"token {made['tokenId']} admits one agent until {made['expiresAt']}; it is not shown again\n"
        f"SHA-256 of the server's CA: {made['caSha256']}\n"
        "On the machine that deploys:\n"
        f"  stellwerk agent run --server {address} --token {made['token']} --ca-sha256 {made['caSha256']}"
        + "".join(f" {option}" for option in options),
        err=True,
    )


@tokens.command("list")
def list_tokens(
    connector: ConnectorOption = False, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None
) -> None:
    """List the tokens and what became of them.

    Example: stellwerk token list --connector
    """
    if connector:
        list_connector_tokens(Remote(server, api_key))
        return
    rows = []
    for one in Remote(server, api_key).call("GET", PATH):
        state = f"until {one['expiresAt']}"
        if one["usedAt"]:
            state = f"used by {one['usedBy']}"
        elif one["revokedAt"]:
            state = "revoked"
        can = "(any)" if one["capabilities"] is None else ",".join(one["capabilities"])
        rows.append((one["tokenId"], one["name"] or "(any)", can, state))
    print_table(("token", "name", "capabilities", "state"), rows, "there are no registration tokens")


@tokens.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="The id that `token list` shows.")],
    connector: ConnectorOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Revoke a token: of a deployment agent as long as it was not used, of a connector at any time.

    Example: stellwerk token revoke 3f9a1c --connector
    """
    if connector:
        revoke_connector_token(Remote(server, api_key), token_id)
        return
    Remote(server, api_key).call("DELETE", f"{PATH}/{token_id}")
    typer.echo(f"revoked {token_id}")
