"""`stellwerk demo`: the whole loop on this machine, once."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    tasks: Annotated[int, typer.Option(min=10, help="How many tasks to submit.")] = 5_000,
) -> None:
    """Run a control plane and three workers, kill one in the middle, and show that nothing is lost. Then move
    the traffic of an agent from one version to the next, and show that no call fails.

    Everything lives in a temporary folder and on free ports, and is gone afterwards. The status is 0 when
    every task and every call brought its result.

    Example: stellwerk demo --tasks 10000
    """
    import asyncio
    import signal

    from rich.console import Console

    from stellwerk.cli.demonstration.processes import ProcessDied
    from stellwerk.cli.demonstration.run import run_demo
    from stellwerk.sdk import StellwerkError

    console = Console()

    async def run() -> bool:
        # A demo that is told to end has processes to end as well.
        this = asyncio.current_task()
        if this is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
        return await run_demo(tasks, console)

    try:
        flawless = asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("interrupted; everything is ended and removed")
        raise typer.Exit(130) from None
    except (ProcessDied, StellwerkError, TimeoutError) as fault:
        console.print(f"The demo failed: {fault or type(fault).__name__}", markup=False, highlight=False)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if flawless else 1)
