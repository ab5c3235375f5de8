"""`stellwerk render`: what an application's templates make of parameters, without a cluster."""

from pathlib import Path
from typing import Annotated

import typer

FolderOption = Annotated[Path, typer.Option("--manifests", help="The folder of manifests.")]
ParametersOption = Annotated[
    Path | None, typer.Option("--parameters", help="A YAML or JSON file in place of stored parameters.")
]


def render_manifests(
    services: Annotated[list[str] | None, typer.Argument(help="Services and groups; all if none.")] = None,
    manifests: FolderOption = Path("manifests"),
    parameters: ParametersOption = None,
    instance: Annotated[str, typer.Option(help="What templates see as app.instance.")] = "default",
    show_secrets: Annotated[bool, typer.Option(help="Write the values of Secrets, too.")] = False,
) -> None:
    """Write the objects that templates and parameters make, as YAML; faults go to the standard error.

    Ends with status 1 if there is any fault. Asks no cluster and no server.

    Example: stellwerk render frontend redis --manifests examples/guestbook/manifests
    """
    # Loaded here: templates and schemas would cost every other command's start.
    from stellwerk.cli.rendered import write_rendered

    write_rendered(
        manifests, services or [], parameters=parameters, instance=instance, show_secrets=show_secrets
    )
