"""`stellwerk token … --connector`: what lets pipelines and platforms steer agent versions and traffic."""

from typing import Any
from urllib.parse import quote

import typer

from stellwerk.cli.keys import duration_s
from stellwerk.cli.remote import Remote
from stellwerk.cli.table import print_table

PATH = "/api/v1/traffic/tokens"


def create_connector_token(
    remote: Remote, name: str, capabilities: list[str], agents: list[str] | None, expires: str | None
) -> None:
    """Make a connector token and print it, once."""
    body: dict[str, Any] = {
        "name": name,
        "capabilities": capabilities,
        "agents": agents or None,
        "expires_in_s": None if expires is None else duration_s(expires),
    }
    made = remote.call("POST", PATH, body)
    typer.echo(made["token"])
    agents_text = ", ".join(made["agents"]) if made["agents"] else "all agents"
    until = f"until {made['expires_at']}" if made["expires_at"] else "without an end"
    may = ", ".join(made["capabilities"])
    told = f"connector token {made['token_id']} may {may} for {agents_text}, {until}; it is not shown again"
    typer.echo(told, err=True)


def list_connector_tokens(remote: Remote) -> None:
    """List the connector tokens."""
    rows = [
        (
            one["token_id"],
            one["name"],
            "revoked"
            if one["revoked_at"]
            else f"until {one['expires_at']}"
            if one["expires_at"]
            else "no end",
            ",".join(one["agents"]) if one["agents"] else "(all)",
            ",".join(one["capabilities"]),
            one["last_used_at"] or "never",
        )
        for one in remote.call("GET", PATH)["tokens"]
    ]
    heading = ("token", "name", "state", "agents", "capabilities", "last used")
    print_table(heading, rows, "no connector token was made; `stellwerk token create --connector` makes one")


def revoke_connector_token(remote: Remote, token_id: str) -> None:
    """Revoke a connector token."""
    remote.call("DELETE", f"{PATH}/{quote(token_id, safe='')}")
    typer.echo(f"revoked {token_id}")
