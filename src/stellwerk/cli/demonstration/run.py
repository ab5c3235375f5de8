"""The course of the demo.

Start, submit, kill a worker in the middle, wait for every result, count, clean up.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from stellwerk.cli.demonstration.deploying import deploy_container
from stellwerk.cli.demonstration.figures import Live, Summary, summarise
from stellwerk.cli.demonstration.moving import move_traffic, print_moved
from stellwerk.cli.demonstration.processes import Child, ProcessDied, start_server, start_worker
from stellwerk.cli.demonstration.releasing import Target, guestbook, print_released, release_services
from stellwerk.cli.demonstration.tasks import demo_tasks
from stellwerk.cli.demonstration.view import View, print_summary
from stellwerk.cli.demonstration.work import expected
from stellwerk.sdk import AgentQuery, AsyncClient, NewTask, Task

WORKERS = {"anna": ("text", "math"), "berta": ("math", "hashing"), "carla": ("hashing", "text")}
"""Every capability twice, so that the others can take over from the one that is killed."""
VICTIM = "berta"
KILL_AT = 0.35
"""Part of the tasks after which the victim is killed: all are busy then, and much is still to do."""
LANES = 16
"""Submissions at once."""
CHECKED = 200
"""Results that are computed again here."""
JOIN_S = 20.0
AFTER_LAST_S = 20.0
"""Without any progress for this long the run is given up."""


async def run_demo(count: int, console: Console, target: Target) -> bool:
    """Run it; tell whether nothing was lost, and nothing failed that should not.

    Raises ProcessDied when the control plane, a worker or an agent does not come up.
    """
    live = Live(wanted=count)
    view = View(console, live, {name: ", ".join(able) for name, able in WORKERS.items()})
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stellwerk-demo-")))
        view.say("starting a control plane")
        application = guestbook(folder)
        serving = () if application is None else ("--manifests", str(application), *target.options)
        server, url = await start_server(folder, *serving)
        stack.push_async_callback(server.stop)
        view.say(f"control plane ready at {url} (process {server.pid})")
        client = await stack.enter_async_context(AsyncClient(url))
        workers = await _start_workers(stack, folder, url)
        await _all_joined(client, workers)
        view.say(
            "workers joined: " + ", ".join(f"{each.name} (process {each.pid})" for each in workers.values())
        )
        with view.shown():
            submitted = await _work(client, workers, live, view, folder=folder, url=url, stack=stack)
        summary = await _count(client, submitted)
        await deploy_container(url, folder, view)
        moved = await move_traffic(url, folder, view)
        released = None if application is None else await release_services(url, target, view)
    print_summary(console, summary)
    print_moved(console, moved)
    if released is not None:
        print_released(console, released)
    return summary.flawless and not moved.failed and (released is None or not released.wrong)


async def _start_workers(stack: AsyncExitStack, folder: Path, url: str) -> dict[str, Child]:
    workers: dict[str, Child] = {}
    for name, able in WORKERS.items():
        workers[name] = await start_worker(name, folder, url, able)
        stack.push_async_callback(workers[name].stop)
    return workers


async def _all_joined(client: AsyncClient, workers: dict[str, Child]) -> None:
    async with asyncio.timeout(JOIN_S):
        while len(await client.agents(AgentQuery(status="active"))) < len(workers):
            for worker in workers.values():
                if not worker.alive:
                    raise ProcessDied(f"the worker {worker.name} did not start:\n{worker.last_words()}")
            await asyncio.sleep(0.05)


async def _work(
    client: AsyncClient,
    workers: dict[str, Child],
    live: Live,
    view: View,
    *,
    folder: Path,
    url: str,
    stack: AsyncExitStack,
) -> list[tuple[NewTask, str]]:
    tasks = list(demo_tasks(live.wanted))
    start = await _end_of_journal(client)
    watching = asyncio.create_task(_watch(client, live, start))
    try:
        submitting = asyncio.create_task(client.submit_many(tasks, concurrency=LANES))
        await _until(live, int(live.wanted * KILL_AT), submitting)
        held = await _until_busy(live)
        await workers[VICTIM].kill()
        view.say(f"killed {VICTIM} (process {workers[VICTIM].pid}, SIGKILL) with about {held} tasks in hand")
        taken = await submitting
        view.say(f"all {len(taken)} tasks are submitted and durable")
        successor = await start_worker(VICTIM, folder, url, WORKERS[VICTIM])
        stack.push_async_callback(successor.stop)
        view.say(f"started {VICTIM} again (process {successor.pid})")
        await _until(live, live.wanted, watching)
        view.say("every task has come to its end")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return [(task, answer.task_id) for task, answer in zip(tasks, taken, strict=True)]


async def _until_busy(live: Live) -> int:
    """Wait until the victim has something to lose, as far as the events tell; return how many tasks."""
    for _ in range(100):
        if held := list(live.in_hand.values()).count(VICTIM):
            return held
        await asyncio.sleep(0.01)
    return 0


async def _end_of_journal(client: AsyncClient) -> str | None:
    page = await client.events()
    while page.events or page.more:
        page = await client.events(after=page.next)
    return page.next


async def _watch(client: AsyncClient, live: Live, start: str | None) -> None:
    async for event in client.stream(kinds=["task.*"], after=start):
        live.take(event)


async def _until(live: Live, finished: int, companion: asyncio.Task[object]) -> None:
    """Wait for that many finished tasks; fail with the companion, or when nothing moves any more."""
    loop = asyncio.get_running_loop()
    seen, moved_at = -1, loop.time()
    while live.finished < finished:
        if companion.done() and companion.exception() is not None:
            companion.result()
        if live.finished != seen:
            seen, moved_at = live.finished, loop.time()
        if loop.time() - moved_at > AFTER_LAST_S:
            return
        await asyncio.sleep(0.01)


async def _count(client: AsyncClient, submitted: Sequence[tuple[NewTask, str]]) -> Summary:
    tasks: list[Task] = []
    cursor: str | None = None
    while True:
        page = await client.list(limit=500, cursor=cursor)
        tasks += page.tasks
        cursor = page.next_cursor
        if cursor is None:
            break
    step = max(1, len(submitted) // CHECKED)
    chosen = submitted[::step]
    wrong = 0
    for task, task_id in chosen:
        wrong += (await client.get(task_id)).result != expected(task.task_type, task.data)
    return summarise([task_id for _, task_id in submitted], tasks, checked=len(chosen), wrong=wrong)
