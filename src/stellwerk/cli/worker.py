"""`stellwerk worker`: run a module's functions for a control plane."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    # Loaded when a worker is run: the other commands should not wait for aiohttp.
    from stellwerk.sdk import Worker


def worker(
    app: Annotated[
        str, typer.Argument(metavar="MODULE:APP", help="Where the Worker is: module, or file, and attribute.")
    ],
    server: Annotated[
        str | None, typer.Option(envvar="STELLWERK_SERVER", help="Address of the control plane.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="STELLWERK_API_KEY", help="API key; open listeners need none.")
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="What it can do; more than once for several.")
    ] = None,
    service: Annotated[list[str] | None, typer.Option(help="Services beside its task types.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Tasks at once.")] = None,
    agent_id: Annotated[
        str | None, typer.Option(help="Its name in the fleet; made up when there is none.")
    ] = None,
    instance_id: Annotated[
        str | None,
        typer.Option(help="Its name among the processes of its agent id; made up when there is none."),
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Its agent type; worker by default.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag.")] = None,
    delivery: Annotated[str | None, typer.Option(help="auto, websocket or claim.")] = None,
    drain: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long running tasks may go on after SIGTERM.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log warnings only.")] = False,
) -> None:
    """Run the functions of a Worker for a control plane until SIGTERM or SIGINT.

    Options given here win over those of the Worker; capabilities, services, labels and tags are added.

    Example: stellwerk worker mywork:app --capability data-processing --concurrency 4
    """
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    found = load_worker(app)
    given: dict[str, Any] = {
        "server": server,
        "api_key": api_key,
        "concurrency": concurrency,
        "agent_id": agent_id,
        "instance_id": instance_id,
        "agent_type": type_,
        "delivery": _delivery(delivery),
        "drain_s": drain,
    }
    own = found.options
    found.options = dataclasses.replace(
        own,
        capabilities=_joined(own.capabilities, capability),
        services=_joined(own.services, service),
        tags=_joined(own.tags, tag),
        labels={**own.labels, **parse_labels(label or [])},
        **{name: value for name, value in given.items() if value is not None},
    )
    run_worker(found)


def run_worker(found: Worker) -> None:
    """Run a worker; end the program with status 1 and a message when it is not wanted."""
    from stellwerk.sdk import Refused, StellwerkError

    try:
        found.run()
    except Refused as refused:
        typer.echo(f"The control plane refused this worker: {refused}", err=True)
        raise typer.Exit(1) from None
    except StellwerkError as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None


def load_worker(place: str) -> Worker:
    """Import `module:attribute` (`app` when there is no attribute); the current folder is looked in first."""
    from stellwerk.sdk import Worker

    module, _, attribute = place.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    name = module.removesuffix(".py").replace("/", ".")
    try:
        found = getattr(importlib.import_module(name), attribute or "app")
    except ModuleNotFoundError as fault:
        # A module that the worker's own module misses is a fault of that one, with its own traceback.
        if fault.name is None or not (name == fault.name or name.startswith(fault.name + ".")):
            raise
        raise typer.BadParameter(f"there is no module {name!r} in {here} or on the path") from None
    except AttributeError:
        raise typer.BadParameter(f"{name!r} has no {attribute or 'app'!r}") from None
    if not isinstance(found, Worker):
        raise typer.BadParameter(f"{place!r} is a {type(found).__name__}, not a stellwerk.sdk.Worker")
    return found


def parse_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Read `key=value` pairs."""
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"a label is KEY=VALUE, not {pair!r}")
        labels[key] = value
    return labels


def _joined(own: tuple[str, ...], more: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*own, *(more or ()))))


def _delivery(text: str | None) -> str | None:
    if text not in (None, "auto", "websocket", "claim"):
        raise typer.BadParameter(f"delivery is auto, websocket or claim, not {text!r}")
    return text
