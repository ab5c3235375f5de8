"""`stellwerk secret set|list|delete`: named values that tasks refer to."""

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table

PATH = "/api/v1/admin/secrets"

NameArgument = Annotated[str, typer.Argument(help="Such as registry.password.")]

secrets = typer.Typer(no_args_is_help=True, help="Secrets: delivered with tasks, never shown.")


@secrets.command("set")
def set_secret(name: NameArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Set a secret; its value is asked for, or read from the standard input.

    Example: printf %s "$PASSWORD" | stellwerk secret set registry.password
    """
    # Never an argument: those are seen by every user of the machine.
    if sys.stdin.isatty():
        value = typer.prompt("Value", hide_input=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    done = Remote(server, api_key).call("PUT", f"{PATH}/{quote(name, safe='')}", {"value": value})
    typer.echo(f"{name} is set (version {done['version']}); refer to it as secret:{name}")


@secrets.command("list")
def list_secrets(server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """List the secrets, without their values.

    Example: stellwerk secret list
    """
    found = Remote(server, api_key).call("GET", PATH)
    rows = [(one["name"], str(one["version"]), one["updatedAt"], one["updatedBy"]) for one in found]
    print_table(("secret", "version", "set", "by"), rows, "there are no secrets")


@secrets.command()
def delete(name: NameArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Remove a secret; tasks that refer to it fail.

    Example: stellwerk secret delete registry.password
    """
    Remote(server, api_key).call("DELETE", f"{PATH}/{quote(name, safe='')}")
    typer.echo(f"removed {name}")
