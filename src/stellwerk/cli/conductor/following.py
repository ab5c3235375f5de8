"""Following an operation on the terminal: a line for each object that moves, and why one does not.

Following never changes the operation, which goes on in the server whoever looks: also while the server is
started again, which is waited for. Whoever stops looking is told how to look again and how to stop it.
"""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import typer

from stellwerk.cli.conductor.lines import ended_lines, result_line
from stellwerk.cli.remote import Remote

LOOK_S = 0.25
"""How often an operation is looked at: people see no more, and it costs the server a look-up in memory."""
AWAY_S = 60.0
"""How long a server that does not answer is waited for."""
PATIENCE_S = 2.0
"""What lasts no longer than this needs no explanation."""
ENDED = frozenset({"succeeded", "failed", "cancelled", "interrupted"})
INTERRUPTED = 130


def operation_path(operation_id: str) -> str:
    """Return the path of an operation."""
    return f"/api/operations/{quote(operation_id, safe='')}"


def follow(
    remote: Remote, operation: Mapping[str, Any], *, quiet: bool = False
) -> tuple[int, Mapping[str, Any]]:
    """Show an operation until it ends; return the exit status (0 when it succeeded) and how it is then.

    `quiet` shows nothing: for output that a program reads.
    """
    try:
        with _View(quiet) as view:
            view.show(operation)
            while operation["state"] not in ENDED:
                time.sleep(LOOK_S)
                operation = _look(remote, operation, view)
                view.show(operation)
    except KeyboardInterrupt:
        leave(operation, "stopped looking; the operation goes on")
        return INTERRUPTED, operation
    if not quiet:
        for line in ended_lines(operation):
            typer.echo(line)
    return 0 if operation["state"] == "succeeded" else 1, operation


def leave(operation: Mapping[str, Any], why: str) -> None:
    """Say how to look at an operation that is left alone."""
    typer.echo(
        f"{why}\n  look again: stellwerk operation follow {operation['id']}\n"
        f"  stop it:    stellwerk operation cancel {operation['id']}",
        err=True,
    )


def _look(remote: Remote, operation: Mapping[str, Any], view: "_View") -> Mapping[str, Any]:
    path, gives_up_at = operation_path(operation["id"]), time.monotonic() + AWAY_S
    while (found := remote.try_call("GET", path)) is None:
        view.say("the server does not answer; the operation goes on where it runs")
        if time.monotonic() > gives_up_at:
            leave(operation, f"the server did not answer for {AWAY_S:g} s")
            raise typer.Exit(1)
        time.sleep(LOOK_S)
    known: Mapping[str, Any] = found
    return known


class _View:
    """Lines for what moved; on a terminal a bar below them."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._began = time.monotonic()
        self._told: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._said = ""
        self._bar = _Bar() if sys.stdout.isatty() and not quiet else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.progress.stop()

    def show(self, operation: Mapping[str, Any]) -> None:
        """Tell what is new since the last look."""
        if self._bar is not None:
            self._bar.show(operation)
        if operation["state"] == "queued" and self._now() > PATIENCE_S:
            self.say(f"{operation['id']} waits for the operation before it")
        for result in operation["objects"]:
            resource = result["resource"]
            since = self._since.setdefault(f"{resource} {result['status']}", self._now())
            line = _line(result, self._now() - since > PATIENCE_S)
            if line is not None and self._told.get(resource) != line:
                self._told[resource] = line
                self._print(line)

    def say(self, text: str) -> None:
        """Tell something once, until something else is told."""
        if text != self._said:
            self._said = text
            self._print(text)

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _print(self, line: str) -> None:
        if self._quiet:
            return
        text = f"{self._now():6.1f} s  {line}"
        if self._bar is None:
            typer.echo(text)
        else:
            self._bar.print(text)


class _Bar:
    """How far an operation is, below its lines."""

    def __init__(self) -> None:
        # Loaded here: it would cost every command's start.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = Console(highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=self.console, transient=True)
        self._task = self.progress.add_task("", total=None)

    def show(self, operation: Mapping[str, Any]) -> None:
        """Move the bar."""
        done = operation["progress"]
        self.progress.update(
            self._task,
            description=f"{operation['kind']} {operation['state']}",
            total=done["total"] or None,
            completed=done["done"] + done["failed"],
        )

    def print(self, text: str) -> None:
        """Print a line above the bar."""
        from rich.text import Text

        self.console.print(Text.from_ansi(text))


def _line(result: Mapping[str, Any], lasts: bool) -> str | None:
    """Write a line for an object; None where there is nothing to tell.

    `lasts`: it has been so for long enough that people want to know why.
    """
    status, reason = result["status"], result.get("reason", "")
    if result["action"] == "unchanged" and status != "failed" and not reason:
        return None
    if status == "applied" and (reason or (lasts and result.get("message"))):
        return result_line(result, "waiting")
    if status == "pending":
        return None
    return result_line(result if status in ("failed", "kept") else {"resource": result["resource"]}, status)
