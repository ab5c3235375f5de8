"""`stellwerk init`: a folder to begin an application with."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_STARTER = files("stellwerk.cli") / "starter"


def init(
    name: Annotated[str, typer.Argument(help="The application, and the folder that is made for it.")],
    service: Annotated[list[str] | None, typer.Option(help="A service; may be given again.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Another folder; must be empty or not there.")] = None,
) -> None:
    """Write a starter application: program, manifests, parameters, requirements, and the parameters' CRD.

    Example: stellwerk init shop --service frontend --service redis
    """
    services = service or ["web"]
    for one in (name, *services):
        if not _NAME.match(one):
            raise _end(f"{one!r} cannot be a name: up to 63 of a-z, 0-9 and - are allowed")
    root = folder or Path(name)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise _end(f"{root} is there already, and not empty")
    for path, text in starter(name, services):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {root / path}")
    typer.echo(f"next: cd {root} && stellwerk render")


def starter(name: str, services: list[str]) -> Iterator[tuple[str, str]]:
    """List the files of a starter application: their paths and what is in them."""
    # Loaded here: they would cost every other command's start.
    import yaml

    from stellwerk.release.application.schema import BUILT_IN
    from stellwerk.release.parameters.definition import definition

    yield "main.py", _text("main.py.txt", application=name)
    for file in ("stellwerk.yaml", "requirements.yaml"):
        yield f"manifests/{file}", _text(file, application=name)
    own = "".join(_text("service/parameters.yaml", service=one) for one in services)
    yield "manifests/parameters.yaml", _text("parameters.yaml") + own
    yield "manifests/parameters.schema.json", json.dumps(BUILT_IN, indent=2) + "\n"
    for one in services:
        for file in ("deployment.yaml", "service.yaml"):
            yield f"manifests/{one}/{file}", _text(f"service/{file}", service=one)
    yield "deploy/deploymentparameters.yaml", yaml.safe_dump(definition(BUILT_IN), sort_keys=False)


def _text(file: str, **names: str) -> str:
    text = (_STARTER / file).read_text(encoding="utf-8")
    for name, value in names.items():
        text = text.replace(f"__{name}__", value)
    return text


def _end(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)
