"""`stellwerk parameters …`: what differs from one place to another."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from stellwerk.cli.conductor.lines import change_lines, moment
from stellwerk.cli.conductor.options import DEFAULT, InstanceOption, JsonOption
from stellwerk.cli.remote import DEFAULT_SERVER, KeyOption, Remote, ServerOption
from stellwerk.cli.table import print_table
from stellwerk.cli.tasks import payload

PATH = "/api/parameters"

FileArgument = Annotated[Path, typer.Argument(help="YAML or JSON; - is the standard input.")]
WhyOption = Annotated[str | None, typer.Option(help="Why; kept in the history.")]
IfMatchOption = Annotated[
    str | None, typer.Option("--if-match", help="Only if nobody changed them since `get` showed this ETag.")
]
VersionArgument = Annotated[int, typer.Argument(min=1, help="As `parameters history` shows it.")]

parameters = typer.Typer(no_args_is_help=True, help="What differs from one place to another.")


@parameters.command()
def get(
    service: Annotated[
        str | None, typer.Argument(help="Show everything that holds for a service, with what is global.")
    ] = None,
    etag: Annotated[bool, typer.Option("--etag", help="Also print the ETag, on the standard error.")] = False,
    instance: InstanceOption = DEFAULT,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show what is stored, as YAML; where nothing is, what holds instead.

    Example: stellwerk parameters get frontend
    """
    path = PATH if service is None else f"{PATH}/{quote(service, safe='')}"
    found = Remote(server, api_key).exchange("GET", f"{path}?{urlencode({'instance': instance})}")
    if etag:
        typer.echo(found.headers["etag"].strip('"'), err=True)
    _write(found.body, as_json)


@parameters.command("set")
def set_(
    file: FileArgument,
    why: WhyOption = None,
    if_match: IfMatchOption = None,
    instance: InstanceOption = DEFAULT,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Store a document in place of the one that is there; `patch` changes parts of it.

    Example: stellwerk parameters get > p.yaml && $EDITOR p.yaml && stellwerk parameters set p.yaml
    """
    _change(Remote(server, api_key), "POST", _read(file), instance=instance, why=why, if_match=if_match)


@parameters.command()
def patch(
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]…", help="JSON where it is; a.b sets b within a; null takes away."
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="YAML or JSON to merge; - is the standard input.")] = None,
    why: WhyOption = None,
    if_match: IfMatchOption = None,
    instance: InstanceOption = DEFAULT,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Change some of what is stored, and leave the rest.

    Example: stellwerk parameters patch services.redis.replicas=5 --why "Monday's traffic"
    """
    if bool(values) == (file is not None):
        typer.echo("give either NAME=VALUE or --file", err=True)
        raise typer.Exit(2)
    changes = payload(values) if file is None else _read(file)
    _change(Remote(server, api_key), "PATCH", changes, instance=instance, why=why, if_match=if_match)


@parameters.command()
def validate(file: FileArgument, server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """Say what would be refused; nothing is stored. Ends with status 1 if anything would.

    Example: stellwerk parameters validate p.yaml
    """
    found = Remote(server, api_key).call("POST", f"{PATH}/validate", _read(file))
    for one in found["violations"]:
        typer.echo(f"{one['path']}: {one['message']}", err=True)
    _hint(found["hints"])
    if not found["valid"]:
        raise typer.Exit(1)
    typer.echo("valid")


@parameters.command()
def history(
    instance: InstanceOption = DEFAULT,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 20,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """List who changed them, when and why; newest first.

    Example: stellwerk parameters history
    """
    query = urlencode({"instance": instance, "limit": limit})
    found = Remote(server, api_key).call("GET", f"{PATH}/history?{query}")
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    rows = [
        (
            str(one["version"]),
            one["action"] + (f" {one['restored']}" if one["restored"] else ""),
            moment(one["at"]),
            one["by"],
            one["why"],
        )
        for one in found["versions"]
    ]
    print_table(("version", "action", "at", "by", "why"), rows, "they were never changed")


@parameters.command()
def show(
    version: VersionArgument,
    instance: InstanceOption = DEFAULT,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Show what a version changed.

    Example: stellwerk parameters show 4
    """
    query = urlencode({"instance": instance})
    found = Remote(server, api_key).call("GET", f"{PATH}/history/{version}?{query}")
    typer.echo(f"version {version}: {found['action']} {moment(found['at'])} by {found['by']}  {found['why']}")
    for change in found["changes"]:
        for line in change_lines(change):
            typer.echo(line)


@parameters.command()
def restore(
    version: VersionArgument,
    why: WhyOption = None,
    instance: InstanceOption = DEFAULT,
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Store an older version again.

    Example: stellwerk parameters restore 3 --why "five were too many"
    """
    query = _query(instance, why)
    _changed(Remote(server, api_key).call("POST", f"{PATH}/history/{version}/restore?{query}"))


@parameters.command()
def instances(server: ServerOption = DEFAULT_SERVER, api_key: KeyOption = None) -> None:
    """List the instances of the application.

    Example: stellwerk parameters instances
    """
    for name in Remote(server, api_key).call("GET", f"{PATH}/instances"):
        typer.echo(name)


@parameters.command()
def create(
    name: Annotated[str, typer.Argument(help="Up to 63 of a-z, 0-9 and -.")],
    server: ServerOption = DEFAULT_SERVER,
    api_key: KeyOption = None,
) -> None:
    """Make a further instance of the application, with the parameters of `default`.

    Example: stellwerk parameters create staging && stellwerk parameters patch --instance staging …
    """
    typer.echo(Remote(server, api_key).call("POST", f"{PATH}/instances", {"name": name})["message"])


@parameters.command()
def definition(
    manifests: Annotated[
        Path, typer.Option(help="The application, whose parameters.schema.json is taken if it has one.")
    ] = Path("manifests"),
) -> None:
    """Print the CRD for those who keep parameters in the cluster (`parameters.store: crd`). Asks no server.

    Example: stellwerk parameters definition | kubectl apply -f -
    """
    # Loaded here: they would cost every other command's start.
    import yaml

    from stellwerk.release.application.reading import load
    from stellwerk.release.application.schema import BUILT_IN
    from stellwerk.release.parameters.definition import definition as definition_of

    schema = load(manifests).schema if manifests.is_dir() else None
    typer.echo(yaml.safe_dump(definition_of(schema or BUILT_IN), sort_keys=False), nl=False)


def _change(
    remote: Remote,
    method: str,
    document: Mapping[str, Any],
    *,
    instance: str,
    why: str | None,
    if_match: str | None,
) -> None:
    headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
    _changed(remote.exchange(method, f"{PATH}?{_query(instance, why)}", document, headers).body)


def _changed(answer: Mapping[str, Any]) -> None:
    typer.echo(f"stored as version {answer['version']}; it counts from the next `update` on")
    _hint(answer.get("hints", {}))


def _hint(hints: Mapping[str, str]) -> None:
    for path, text in hints.items():
        typer.echo(f"note: {path} {text}", err=True)


def _query(instance: str, why: str | None) -> str:
    return urlencode({"instance": instance} | ({} if why is None else {"why": why}))


def _read(file: Path) -> Any:
    """Read a document; ends the program with a message for what is none."""
    from stellwerk.release.documents import Malformed, read_documents

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        documents = list(read_documents(text))
    except (OSError, UnicodeDecodeError, Malformed) as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(2) from None
    if len(documents) > 1 or not all(isinstance(one.value, dict) for one in documents):
        typer.echo(f"{file}: one object with `global` and `services` is expected", err=True)
        raise typer.Exit(2)
    return documents[0].value if documents else {}


def _write(document: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    import yaml

    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
