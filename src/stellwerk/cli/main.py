"""The `stellwerk` command: every subcommand, by name."""

from typing import Annotated

import typer

from stellwerk import __version__
from stellwerk.cli.agent_run import run_agent
from stellwerk.cli.authorities import authorities
from stellwerk.cli.backups import backup, restore
from stellwerk.cli.conductor.deploying import down, rollback, up, update
from stellwerk.cli.conductor.happenings import events
from stellwerk.cli.conductor.operations import operations
from stellwerk.cli.conductor.parameters import parameters
from stellwerk.cli.conductor.planning import plan
from stellwerk.cli.conductor.releases import diff, history
from stellwerk.cli.conductor.status import pause, requirements, resume, status
from stellwerk.cli.demo import demo
from stellwerk.cli.doctor import doctor
from stellwerk.cli.incidents.investigate import investigate
from stellwerk.cli.incidents.remedies import remedies
from stellwerk.cli.init import init
from stellwerk.cli.keys import keys
from stellwerk.cli.log_level import log_level
from stellwerk.cli.machines import machine, machines
from stellwerk.cli.render import render_manifests
from stellwerk.cli.secrets import secrets
from stellwerk.cli.serve import serve, settings
from stellwerk.cli.tasks import tasks
from stellwerk.cli.tokens import tokens
from stellwerk.cli.versions import restart, versions, weight
from stellwerk.cli.worker import worker

app = typer.Typer(
    name="stellwerk",
    help="One control plane for fleets of agents and the services they run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """One control plane for fleets of agents and the services they run."""


app.command()(serve)
app.command()(settings)
app.command()(worker)
app.command()(demo)
app.command()(backup)
app.command()(restore)
app.command()(doctor)
app.command("log-level")(log_level)
app.command("agents")(machines)
app.command()(init)
app.command("render")(render_manifests)
app.command()(plan)
app.command()(up)
app.command()(update)
app.command()(down)
app.command()(rollback)
app.command()(status)
app.command()(history)
app.command()(diff)
app.command()(events)
app.command()(requirements)
app.command()(pause)
app.command()(resume)
app.add_typer(operations, name="operation")
app.command()(investigate)
app.add_typer(remedies, name="remedy")
app.add_typer(parameters, name="parameters")
app.command()(versions)
app.command()(weight)
app.command()(restart)
app.add_typer(keys, name="key")
app.add_typer(tokens, name="token")
machine.command("run")(run_agent)
app.add_typer(machine, name="agent")
app.add_typer(tasks, name="task")
app.add_typer(secrets, name="secret")
app.add_typer(authorities, name="ca")


def run() -> None:
    """Run the command line."""
    app()
