"""Offering a remedy, carrying it out, and following it."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import typer

from stellwerk.cli.remote import Remote

PREFIX = "/api/v1/incident"
LOOK_S = 0.5
ENDED = frozenset({"succeeded", "failed", "rejected", "expired"})


def offer(remote: Remote, session_id: str, *, yes: bool, interactive: bool) -> bool:
    """Show what the remedy would do, and ask whether to do it; without somebody to ask it is not done."""
    planned = remote.call("POST", _place(session_id), {"dry_run": True})
    for step in planned["steps"]:
        typer.echo(f"  would: {step}")
    if planned["needs_approval"]:
        typer.echo(f"  needs the approval of somebody else, because {planned['needs_approval']}")
    if yes:
        return True
    if not interactive:
        typer.echo("to carry it out say --yes", err=True)
        return False
    return typer.confirm("Carry it out?", err=True)


def carry_out(remote: Remote, session_id: str) -> int:
    """Ask for the remedy and follow it; return the exit status."""
    remedy = remote.call("POST", _place(session_id), {})
    return follow(remote, remedy)


def follow(remote: Remote, remedy: Mapping[str, Any]) -> int:
    """Show how a remedy goes until it has ended, or waits for somebody; return the exit status."""
    told = ""
    while True:
        if remedy["state"] != told:
            told = remedy["state"]
            typer.echo(f"{remedy['remedy_id']} {told}", err=True)
        if told == "waiting":
            typer.echo(f"somebody else approves it with: stellwerk remedy approve {remedy['remedy_id']}")
            return 0
        if told in ENDED:
            typer.echo(f"{told}: {remedy['message']}")
            return 0 if told == "succeeded" else 1
        time.sleep(LOOK_S)
        remedy = remote.call("GET", path_of(remedy["remedy_id"]))


def path_of(remedy_id: str) -> str:
    """Return the path of a remedy."""
    return f"{PREFIX}/remedies/{quote(remedy_id, safe='')}"


def _place(session_id: str) -> str:
    return f"{PREFIX}/session/{quote(session_id, safe='')}/remediate"
