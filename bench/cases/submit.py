"""Submissions: durable before the answer, at the same cost whatever lies still."""

import msgspec

from bench.cases.delivery import end_to_end
from bench.figures import Goal, figure
from bench.measure import Bench
from bench.seeds import queue_up, register, size_on_disk, submission

ENOUGH = Goal(4_000)
QUEUE_LIMIT = 5_000_000


def submit(bench: Bench) -> None:
    """With 10, 1,000 and 17,000 agents registered."""
    server = bench.server("submit", work__queue_limit=QUEUE_LIMIT)
    try:
        register(server, range(10))
        bench.add(bench.http("submit, 10 agents", server, [submission()]))
        register(server, range(10, 1_000))
        base = bench.add(bench.http("submit, 1,000 agents", server, [submission()], goal=ENOUGH))
        bench.add(bench.http("submit, 1,000 agents, one connection", server, [submission()], connections=1))
        register(server, range(1_000, 3_000 if bench.quick else 17_000))
        crowd = "3,000" if bench.quick else "17,000"
        goal = Goal(base.value * 0.8)
        bench.add(bench.http(f"submit, {crowd} agents", server, [submission()], goal=goal))
    finally:
        server.stop()


def crowded_queue(bench: Bench) -> None:
    """With a million tasks waiting that nobody can take: work passing by them, and the submissions of the
    case without them.
    """
    waiting = 20_000 if bench.quick else 1_000_000
    server = bench.server("million", work__queue_limit=QUEUE_LIMIT)
    try:
        before = server.running.rss_bytes()
        empty = size_on_disk(server)
        queue_up(server, waiting)
        server.start()
        note = "from the process to the ready file"
        bench.add(figure(f"start, {waiting:,} queued", "s", [server.ready_s], Goal(5, at_least=False), note))
        grown = (server.running.rss_bytes() - before) / 1024**2
        bench.add(figure(f"memory, {waiting:,} queued, over none", "MiB", [grown]))
        each = (size_on_disk(server) - empty) / waiting
        bench.add(figure("disk, a waiting task with payload and event", "bytes", [each]))
        register(server, range(1_000))
        # First, because what the submissions leave behind could be taken by its agents.
        end_to_end(bench, server, f"end to end, {waiting:,} others queued", agents=10)
        row = bench.http(f"submit, 1,000 agents, {waiting:,} queued", server, [submission()])
        alone = [one.value for one in bench.figures if one.case == "submit, 1,000 agents"]
        goal = Goal(alone[0] * 0.8) if alone else ENOUGH
        bench.add(msgspec.structs.replace(row, goal=goal))
    finally:
        server.stop()
