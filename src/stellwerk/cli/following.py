"""Following a task on the terminal: its state, its log, and why nothing happens when nothing does.

Lines of the task go to the standard output, and so does its result; what is said about it goes to the
standard error. Following never changes the task: whoever stops looking is told how to stop it.
"""

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import typer

from stellwerk.cli.remote import Remote

TASKS = "/api/v1/tasks"
AGENTS = "/api/v1/agents"
LOOK_S = 0.5
"""How often a followed task is looked at."""
EXPLAIN_EVERY = 10
"""Looks between two looks at who could take it."""
ENDED = frozenset({"succeeded", "failed", "timed_out", "cancelled", "lost", "expired"})
INTERRUPTED = 130
Wanted = Mapping[str, Any]
"""The body of a submission: whom it is for."""


def follow(remote: Remote, task_id: str, *, wait_s: float, wanted: Wanted | None = None) -> int:
    """Show a task until it ends; return the exit status: 0 when it succeeded, 1 when not or nobody took it.

    `wait_s` limits how long it may wait for an agent; the server limits the rest by the task's timeout.
    """
    try:
        return _follow(remote, task_id, wait_s, wanted)
    except KeyboardInterrupt:
        _leave(task_id, "stopped looking; the task goes on")
        return INTERRUPTED


def print_lines(remote: Remote, task_id: str, start: int) -> int:
    """Print the log from a line on; return the number of the next one."""
    while True:
        page = remote.call("GET", f"{path_of(task_id)}/logs?from={start}")
        for line in page["lines"]:
            typer.echo(f"{line['timestamp']} {line['level']:<7} {line['message']}")
        start = page["next"]
        if not page["more"]:
            return int(start)


def path_of(task_id: str) -> str:
    """Return the path of a task."""
    return f"{TASKS}/{quote(task_id, safe='')}"


def _follow(remote: Remote, task_id: str, wait_s: float, wanted: Wanted | None) -> int:
    start, said, looks, attempt = 0, "", 0, 0
    gives_up_at = time.monotonic() + wait_s
    while True:
        task = remote.call("GET", path_of(task_id))
        if task["attempt"] != attempt:  # Each attempt has a log of its own.
            start, attempt = 0, task["attempt"]
        start = print_lines(remote, task_id, start)
        status = task["status"]
        if status in ENDED:
            return _ended(task)
        if status == "pending":
            if looks % EXPLAIN_EVERY == 0 or not said:
                said = _say(f"pending: {_why_waiting(remote, wanted or _target(task))}", said)
            if time.monotonic() >= gives_up_at:
                _leave(task_id, f"nobody has taken it for {wait_s:g} s; it waits until {task['expiresAt']}")
                return 1
        else:
            gives_up_at = time.monotonic() + wait_s
            said = _say(_standing(task), said)
        looks += 1
        time.sleep(LOOK_S)


def _say(text: str, said: str) -> str:
    if text != said:
        typer.echo(text, err=True)
    return text


def _standing(task: dict[str, Any]) -> str:
    progress = "" if task["progress"] is None else f" {task['progress']:.0f} %"
    on = f" on {task['agent']}" if task["agent"] else ""
    return f"{task['status']}{on}{progress} {task['message'] or ''}".rstrip()


def _ended(task: dict[str, Any]) -> int:
    done = task["status"] == "succeeded"
    # The error that follows says more than that there was one.
    reason = f" ({task['reason']})" if task["reason"] not in (None, "error", task["status"]) else ""
    typer.echo(f"{task['status']}{'' if done else reason}", err=True)
    shown = task["result" if done else "error"]
    if shown is not None:
        typer.echo(json.dumps(shown, indent=2))
    if task["lateResult"] is not None:
        typer.echo(f"what the agent said later: {json.dumps(task['lateResult']['outcome'])}", err=True)
    return 0 if done else 1


def _leave(task_id: str, why: str) -> None:
    typer.echo(
        f"{why}\n  look again: stellwerk task logs {task_id} --follow\n"
        f"  stop it:    stellwerk task cancel {task_id}",
        err=True,
    )


def _target(task: dict[str, Any]) -> Wanted:
    return {"agent": task["agent"]} if task["agent"] else {}


def _why_waiting(remote: Remote, wanted: Wanted) -> str:
    """Say what the task waits for, as far as the fleet shows it to this caller."""
    if (name := wanted.get("agent")) is not None:
        found = remote.try_call("GET", f"{AGENTS}/{quote(name, safe='')}")
        return f"waiting for {name}" if found is None else _why_not(found, wanted)
    capability = wanted.get("capability")
    query = {"pageSize": "1000", **({"capability": capability} if capability else {})}
    agents = remote.try_call("GET", f"{AGENTS}?{urlencode(query)}")
    if agents is None:
        return "waiting for an agent"
    labels = (wanted.get("selector") or {}).get("labels", {})
    fitting = [one for one in agents if labels.items() <= one["labels"].items()]
    asked = [*([capability] if capability else []), *(f"{name}={value}" for name, value in labels.items())]
    if not fitting:
        return f"no agent has {', '.join(asked)}; `stellwerk agents` lists them"
    if len(fitting) == 1:
        return _why_not(fitting[0], wanted)
    awake = [one for one in fitting if one["status"] != "offline" and not one["draining"]]
    if not awake:
        return f"all {len(fitting)} agents with {', '.join(asked)} are offline or draining"
    return f"waiting for one of {len(awake)} agents"


def _why_not(agent: dict[str, Any], wanted: Wanted) -> str:
    """Say why this agent, which is the only one that may, does not take the task."""
    name, reasons = agent["name"], ", ".join(agent["statusReasons"])
    needs = wanted.get("capability")
    if agent["status"] == "offline":
        return f"{name} is offline ({reasons}; last heard {agent['lastHeartbeat']}); the task waits for it"
    if agent["draining"]:
        return f"{name} drains and takes nothing new; `stellwerk agent resume {name}` lets it"
    if needs is not None and needs not in agent["capabilities"]:
        return f"{name} does not offer {needs}: it has {', '.join(agent['capabilities']) or 'nothing'}"
    if agent.get("maxTasks") is not None and len(agent.get("tasks", ())) >= agent["maxTasks"]:
        return f"{name} has {len(agent['tasks'])} tasks and takes no more at once"
    return f"waiting for {name}"
