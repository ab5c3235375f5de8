"""What `stellwerk render` writes."""

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
import yaml

from stellwerk.release.application.application import Application, UnknownServices, select
from stellwerk.release.application.reading import load
from stellwerk.release.documents import Malformed, read_documents
from stellwerk.release.fault import Fault
from stellwerk.release.objects import Manifest
from stellwerk.release.parameters.checking import violations
from stellwerk.release.rendering.rendering import AppInfo, render

HIDDEN = "…"


def write_rendered(
    manifests: Path, services: Sequence[str], *, parameters: Path | None, instance: str, show_secrets: bool
) -> None:
    """Write objects to the standard output and faults to the standard error; ends the program on faults."""
    application = load(manifests)
    spec = _parameters(application, parameters)
    try:
        chosen = select(application, services)
    except UnknownServices as error:
        raise _end(str(error)) from None
    app = AppInfo(application.name, instance, application.version)
    rendered = render(application, chosen, spec, app=app, secret_key=secrets.token_bytes(32))
    _write(rendered.manifests, show_secrets)
    if rendered.faults:
        raise _faulty(rendered.faults)


def _parameters(application: Application, path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        documents = list(read_documents(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, Malformed) as error:
        raise _end(f"{path}: {error}") from None
    spec: Any = documents[0].value if documents else {}
    found = violations(application, spec)
    if found:
        raise _end("\n".join(f"{path}: {one.path} {one.message}" for one in found))
    return dict(spec)


def _write(manifests: Sequence[Manifest], show_secrets: bool) -> None:
    for manifest in manifests:
        body = manifest.body
        if manifest.key.kind == "Secret" and not manifest.key.group and not show_secrets:
            hidden = {
                name: dict.fromkeys(body[name], HIDDEN)
                for name in ("data", "stringData")
                if isinstance(body.get(name), dict)
            }
            body = body | hidden
        text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
        sys.stdout.write(f"---\n# {manifest.file}\n{text}")


def _faulty(faults: Sequence[Fault]) -> typer.Exit:
    return _end("\n".join(str(fault) for fault in faults))


def _end(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)
