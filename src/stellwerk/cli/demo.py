"""`stellwerk demo`: the whole loop on this machine, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    tasks: Annotated[int, typer.Option(min=10, help="How many tasks to submit.")] = 5_000,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Deploy to its current context, not to the sandbox."),
    ] = None,
) -> None:
    """Run a control plane and three workers, kill one in the middle, and show that nothing is lost. Then move
    the traffic of an agent from one version to the next, and show that no call fails. Then deploy five
    services, break the image of one, let the cause be found by itself, and roll back with approval.

    Everything lives in a temporary folder and on free ports, and is gone afterwards; in a cluster, in the
    namespace stellwerk-demo. The status is 0 when everything came as it should.

    Example: stellwerk demo --tasks 10000
    """
    import asyncio
    import signal

    from rich.console import Console

    from stellwerk.cli.demonstration.processes import ProcessDied
    from stellwerk.cli.demonstration.releasing import Target
    from stellwerk.cli.demonstration.run import run_demo
    from stellwerk.sdk import StellwerkError

    console = Console()

    async def run() -> bool:
        # A demo that is told to end has processes to end as well.
        this = asyncio.current_task()
        if this is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
        return await run_demo(tasks, console, Target(kubeconfig))

    try:
        flawless = asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("interrupted; everything is ended and removed")
        raise typer.Exit(130) from None
    except (ProcessDied, StellwerkError, TimeoutError) as fault:
        console.print(f"The demo failed: {fault or type(fault).__name__}", markup=False, highlight=False)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if flawless else 1)
