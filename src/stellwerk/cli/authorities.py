"""`stellwerk ca show|rotate|export`: the certificate authorities of agents and of the server."""

from enum import StrEnum
from typing import Annotated

import typer

from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

PATH = "/api/v1/admin/ca"


class Authority(StrEnum):
    """The two authorities."""

    AGENTS = "agents"
    SERVERS = "servers"


authorities = typer.Typer(no_args_is_help=True, help="Certificate authorities of agents and of the server.")


@authorities.command()
def show(server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Show the fingerprints (SHA-256) of the roots.

    Example: stellwerk ca show
    """
    found = Remote(server, api_key).call("GET", PATH)
    for authority in Authority:
        for fingerprint in found[f"{authority.value}Sha256"]:
            typer.echo(f"{authority.value:<8} {fingerprint}")


@authorities.command()
def export(
    authority: Annotated[Authority, typer.Argument(help="Whose roots.")] = Authority.SERVERS,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Print the roots as PEM: those of `servers` verify the server, those of `agents` verify agents.

    Example: stellwerk ca export servers > ca.pem
    """
    typer.echo(Remote(server, api_key).call("GET", PATH)[authority.value], nl=False)


@authorities.command()
def rotate(
    authority: Annotated[Authority, typer.Argument(help="Which authority gets a new root.")],
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Add a root; the one before stays trusted until its last certificate has ended.

    Example: stellwerk ca rotate agents
    """
    done = Remote(server, api_key).call("POST", f"{PATH}/rotate", {"authority": authority.value})
    typer.echo(f"{authority.value:<8} {done['sha256']}")
