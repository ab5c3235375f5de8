"""`stellwerk key create|list|revoke`."""

from typing import Annotated

import typer

from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption

keys = typer.Typer(no_args_is_help=True, help="API keys of people, programs and agents.")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option(help="A scope such as tasks:submit; repeat for several.")],
    expires: Annotated[str | None, typer.Option(help="Lifetime such as 90d or 12h; none by default.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Create a key and print it, once.

    Example: stellwerk key create ci --scope tasks:submit --scope tasks:read --expires 90d
    """
    body = {"name": name, "scopes": scope, "expires_in_s": None if expires is None else duration_s(expires)}
    created = Remote(server, api_key).call("POST", "/keys", body)
    typer.echo(created["key"])
    typer.echo(f"key {created['key_id']} ({name}); it is not shown again", err=True)


@keys.command("list")
def list_keys(server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """List the keys; the secrets are not known any more.

    Example: stellwerk key list
    """
    for key in Remote(server, api_key).call("GET", "/keys")["keys"]:
        state = "revoked" if key["revoked_at"] else f"expires {key['expires_at'] or 'never'}"
        typer.echo(f"{key['key_id']}  {key['name']:<20} {state:<40} {' '.join(key['scopes'])}")


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `key list` shows.")],
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Revoke a key at once.

    Example: stellwerk key revoke 3f9a1c
    """
    Remote(server, api_key).call("DELETE", f"/keys/{key_id}")
    typer.echo(f"revoked {key_id}")


def duration_s(text: str) -> int:
    """Read `90d`, `12h`, `30m` or `45s` as seconds; end the program with a message otherwise."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdigit() or int(number) == 0:
        typer.echo(f"{text!r} is no duration; use a number and s, m, h or d, as in 90d", err=True)
        raise typer.Exit(2)
    return int(number) * units[unit]
