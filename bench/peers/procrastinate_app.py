"""procrastinate's side, in the environment of the peers: one trivial task."""

import os

import procrastinate

CONNECTIONS = 32

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=os.environ["DATABASE"], min_size=CONNECTIONS, max_size=CONNECTIONS
    )
)


@app.task(name="trivial")
async def trivial(data: dict[str, str]) -> None:
    """Do nothing, as our worker does."""
