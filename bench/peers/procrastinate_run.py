"""`python procrastinate_run.py load COUNT` submits over 32 connections; prints when first and last went.

`work` works off, 64 at once, until it is ended; `schema` makes the tables.
"""

import asyncio
import sys
import time

from procrastinate_app import CONNECTIONS, app, trivial

AT_ONCE = 64
DATA = {"task_type": "bench", "model": "llama2", "prompt": "test prompt"}


async def load(count: int) -> None:
    left = iter(range(count))

    async def submitter() -> None:
        for _ in left:
            await trivial.defer_async(data=DATA)

    first = time.perf_counter()
    await asyncio.gather(*(submitter() for _ in range(CONNECTIONS)))
    print(first, time.perf_counter())


async def main() -> None:
    async with app.open_async():
        match sys.argv[1:]:
            case ["schema"]:
                await app.schema_manager.apply_schema_async()
            case ["load", count]:
                await load(int(count))
            case ["work"]:
                await app.run_worker_async(concurrency=AT_ONCE, fetch_job_polling_interval=0.1)


asyncio.run(main())
