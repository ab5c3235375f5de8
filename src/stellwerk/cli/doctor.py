"""`stellwerk doctor`: what a server would find, and what to do about it."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stellwerk.cli.backups import DataDirOption
from stellwerk.cli.serve import ConfigOption, SetOption
from stellwerk.settings import Assignment, Settings, SettingsError, load_settings
from stellwerk.settings.loading import flag, set_flags

if TYPE_CHECKING:
    from stellwerk.app.doctor.finding import Finding


def doctor(
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace", help="Where services go; our rights there are asked for. Else `default`."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Look at settings, files, database, certificates, ports, cluster, engine and clocks. Changes nothing.

    Beside a running server or before its first start, with the same settings. Ends with 1 if something fails.

    Example: stellwerk doctor --data-dir /var/lib/stellwerk
    """
    # After the parsing of options: the command line does not load the server for its help.
    import msgspec

    from stellwerk.app.doctor.finding import State, worst

    given = flag("data_dir", None if data_dir is None else str(data_dir), "--data-dir")
    findings: list[Finding] = []

    def tell(finding: "Finding") -> None:
        findings.append(finding)
        if not as_json:
            _print(finding)

    settings = _settings(config, [] if given.raw is None else [given], set_, tell)
    if settings is not None:
        asyncio.run(_examine(settings, namespace or ["default"], tell))
    state = worst(findings)
    if as_json:
        typer.echo(msgspec.json.encode({"state": state, "findings": findings}).decode())
    else:
        typer.echo(f"{len(findings)} looked at: {state.value}")
    raise typer.Exit(1 if state is State.FAIL else 0)


def _settings(
    config: Path | None, flags: list[Assignment], sets: list[str] | None, tell: "Callable[[Finding], None]"
) -> Settings | None:
    from stellwerk.app.doctor.finding import Finding

    try:
        loaded = load_settings(config, [*flags, *set_flags(sets or [])])
    except SettingsError as error:
        for fault in error.faults:
            tell(Finding.fail("settings", str(fault), "`stellwerk settings` shows all that there are"))
        return None
    tell(Finding.ok("settings", f"{len(loaded.origins)} differ from their defaults, all are known"))
    return loaded.settings


async def _examine(settings: Settings, namespaces: list[str], tell: "Callable[[Finding], None]") -> None:
    from stellwerk.app.doctor.examining import examine
    from stellwerk.clock import SystemClock

    async for finding in examine(settings, namespaces, SystemClock()):
        tell(finding)
    if os.environ.get("DOCKER_HOST"):
        tell(await _engine())


async def _engine() -> "Finding":
    """Ask the engine of an agent on this machine, which the environment names."""
    from stellwerk.agent.executors.engine import open_engine
    from stellwerk.agent.executors.executor import Failed
    from stellwerk.app.doctor.finding import Finding

    try:
        async with open_engine(None) as engine:
            version = (await engine.get("/version")).get("Version", "unknown")
    except Failed as failed:
        return Finding.fail("engine", str(failed), "start the engine, or mend DOCKER_HOST")
    return Finding.ok("engine", f"version {version} answers")


def _print(finding: "Finding") -> None:
    typer.echo(f"{finding.state.value:<4}  {finding.check:<28} {finding.detail}")
    if finding.advice:
        typer.echo(f"      {'':<28} → {finding.advice}")
