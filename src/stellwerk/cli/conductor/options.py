"""Options that commands of the conductor share, and what a request says of them."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from stellwerk.cli.keys import duration_s

ServicesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[SERVICE]…", help="Services and groups; all if none.")
]
InstanceOption = Annotated[
    str, typer.Option("--instance", envvar="STELLWERK_INSTANCE", help="Instance of the application.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to the standard output, for programs.")]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Follow it to its end, or print its id and go.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show the plan, tried by the cluster, and change nothing.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Take over fields and objects of others.")]
PruneOption = Annotated[
    bool, typer.Option("--prune/--no-prune", help="Remove what the services no longer describe, or leave it.")
]
VolumesOption = Annotated[bool, typer.Option("--volumes", help="Remove volumes, too: their data is lost.")]
NamespacesOption = Annotated[
    bool, typer.Option("--namespaces", help="Remove namespaces that were made for it, too.")
]
DeadlineOption = Annotated[
    str | None, typer.Option("--deadline", help="How long to wait for health, such as 5m; else the server's.")
]
NoteOption = Annotated[str | None, typer.Option("--note", help="Why; kept with the release.")]
DEFAULT = "default"


def wish(services: Sequence[str] | None, *, deadline: str | None = None, **choices: Any) -> dict[str, Any]:
    """Make the body of a request; choices that are None are the server's."""
    body = {"services": list(services or ())} | choices
    if deadline is not None:
        body["deadlineSeconds"] = duration_s(deadline)
    return {name: value for name, value in body.items() if value is not None}
