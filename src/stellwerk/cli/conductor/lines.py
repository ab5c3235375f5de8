"""Plans, objects and changes as lines of text."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer

LONGEST = 160
"""Characters of one value; a whole pod template helps nobody in one line."""

_MARKS = {
    "create": ("+", "green"),
    "unverified": ("+", "green"),
    "added": ("+", "green"),
    "update": ("~", "yellow"),
    "changed": ("~", "yellow"),
    "delete": ("-", "red"),
    "removed": ("-", "red"),
    "keep": ("=", None),
    "unchanged": ("=", None),
    "conflict": ("!", "bright_red"),
    "refused": ("!", "bright_red"),
}
_COUNTED = {
    "create": "to create",
    "unverified": "to create, untried",
    "update": "to update",
    "delete": "to delete",
    "keep": "to keep",
    "conflict": "in conflict",
    "refused": "refused",
    "unchanged": "unchanged",
}
_COLOURS = {"healthy": "green", "deleted": "green", "failed": "bright_red", "waiting": "yellow"}


def plan_lines(plan: Mapping[str, Any], *, everything: bool = False) -> Iterator[str]:
    """Write a plan like a diff: an object a line, its fields below; unchanged ones only if asked for."""
    for step in plan["steps"]:
        if everything or step["action"] not in ("unchanged", "keep"):
            yield from object_lines(step)
    counted = [
        f"{plan['summary'][name]} {word}" for name, word in _COUNTED.items() if plan["summary"].get(name)
    ]
    yield f"Plan: {', '.join(counted) or 'nothing to do'}."
    if plan["blocked"]:
        yield typer.style("It would be refused: see the lines with !", fg="bright_red")


def object_lines(step: Mapping[str, Any]) -> Iterator[str]:
    """Write what happens, or happened, to one object."""
    mark, colour = _MARKS[step["action"]]
    owner = f", of {step['owner']}" if step.get("owner") else ""
    said = f": {step['message']}" if step.get("message") else ""
    word = "create" if step["action"] == "unverified" else step["action"]
    yield typer.style(f"{mark} {step['resource']}", fg=colour, bold=True) + f"  {word}{owner}{said}"
    for change in step.get("changes", ()):
        yield from change_lines(change)


def change_lines(change: Mapping[str, Any]) -> Iterator[str]:
    """Write one field; texts of several lines as a diff."""
    path, old, new = change["path"], change["old"], change["new"]
    if old is None:
        yield typer.style(f"    + {path}: {value(new)}", fg="green")
    elif new is None:
        yield typer.style(f"    - {path}: {value(old)}", fg="red")
    elif isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        yield typer.style(f"    ~ {path}:", fg="yellow")
        yield from _text_lines(old.splitlines(), new.splitlines())
    else:
        yield typer.style(f"    ~ {path}: {value(old)} → {value(new)}", fg="yellow")


def _text_lines(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for line in difflib.unified_diff(old, new, lineterm="", n=1):
        if not line.startswith(("---", "+++", "@@")):
            colour = {"+": "green", "-": "red"}.get(line[:1])
            yield typer.style(f"        {line}", fg=colour)


def value(given: Any) -> str:
    """Write a value in one line."""
    text = json.dumps(given, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def result_line(result: Mapping[str, Any], status: str) -> str:
    """Write how far an object of an operation is, and why it is no further."""
    why = why_of(result)
    styled = typer.style(f"{status:<8}", fg=_COLOURS.get(status))
    return f"{styled}  {result['resource']}" + (f"  {why}" if why else "")


def why_of(told: Mapping[str, Any]) -> str:
    """Write a reason and its message, of which the message often has the reason in it."""
    reason, message = told.get("reason") or "", told.get("message") or ""
    return message if reason in message else ": ".join(part for part in (reason, message) if part)


def ended_lines(operation: Mapping[str, Any]) -> Iterator[str]:
    """Write how an operation ended."""
    state, failure = operation["state"], operation["failure"]
    done = state == "succeeded"
    progress = operation["progress"]
    release = "" if operation["release"] is None else f", release {operation['release']}"
    counted = f"{progress['done']} of {progress['total']} objects{release}"
    text = f"{operation['kind']} {state}: {counted} ({operation['id']})"
    yield typer.style(text, fg="green" if done else "bright_red", bold=True)
    if failure is not None:
        where = f"{failure['resource']}: " if failure.get("resource") else ""
        told = {one.get("message", "") for one in operation["objects"] if one["status"] == "failed"}
        more = failure.get("message", "")
        yield f"  {where}{failure['error']}" + (f": {more}" if more and more not in told else "")


def moment(instant: str) -> str:
    """Write an instant to the second, for lists."""
    return instant[:19].replace("T", " ")


def services_line(names: Iterable[str]) -> str:
    """Write names of services; what we keep beside them is none of the application's."""
    return ", ".join(sorted(name for name in names if not name.startswith("stellwerk_")))
