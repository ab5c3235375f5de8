"""`stellwerk serve` and `stellwerk settings`: the flags, turned into settings."""

from pathlib import Path
from typing import Annotated

import typer

from stellwerk.settings import Assignment, Loaded, SettingsError, load_settings
from stellwerk.settings.loading import flag, set_flags

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; else ./stellwerk.yaml."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. work.lease_s=60.")
]


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address of all listeners.")] = None,
    port: Annotated[int | None, typer.Option(help="Main listener; 0 takes a free port.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of everything durable.")] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help="sqlite or postgresql://…")] = None,
    tls_port: Annotated[int | None, typer.Option(help="A further listener with TLS.")] = None,
    no_compat_ports: Annotated[
        bool, typer.Option("--no-compat-ports", help="Only the main listener, not 9001, 8081 and 9090.")
    ] = False,
    manifests: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The application to deploy: a folder a service.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Where to: kubeconfig, in-cluster, sandbox or none.")
    ] = None,
    kubeconfig: Annotated[str | None, typer.Option(metavar="FILE", help="The cluster to deploy to.")] = None,
    set_: SetOption = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Gets one JSON object with the addresses once ready.")
    ] = None,
) -> None:
    """Run the control plane.

    Example: stellwerk serve --port 8080 --data-dir /var/lib/stellwerk
    """
    flags = [
        flag("server.host", host, "--host"),
        flag("server.port", port, "--port"),
        flag("data_dir", None if data_dir is None else str(data_dir), "--data-dir"),
        flag("database.url", database, "--database"),
        flag("server.tls_port", tls_port, "--tls-port"),
        flag("server.compat_ports", False if no_compat_ports else None, "--no-compat-ports"),
        flag("conductor.manifests", None if manifests is None else str(manifests), "--manifests"),
        flag("conductor.cluster", cluster, "--cluster"),
        flag("conductor.kubeconfig", kubeconfig, "--kubeconfig"),
    ]
    loaded = load_or_end(config, [given for given in flags if given.raw is not None], set_)
    from stellwerk.cli.process import run

    raise typer.Exit(run(loaded.settings, ready_file))


def settings(config: ConfigOption = None, set_: SetOption = None) -> None:
    """Print the effective settings, secrets hidden, with the source of each that is not a default.

    Example: STELLWERK_SERVER_PORT=9000 stellwerk settings
    """
    from stellwerk.settings.printing import effective_settings

    typer.echo(effective_settings(load_or_end(config, [], set_)), nl=False)


def load_or_end(config: Path | None, flags: list[Assignment], sets: list[str] | None) -> Loaded:
    """Load the settings, or print every fault and end with status 2."""
    try:
        return load_settings(config, [*flags, *set_flags(sets or [])])
    except SettingsError as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(2) from None
