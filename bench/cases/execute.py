"""Calls of agents' functions through us: durable before they are sent, and what that adds."""

import subprocess
import sys
from statistics import median

from bench.figures import Goal, figure
from bench.load import LoadPlan, LoadResult, request
from bench.measure import HOST, Bench, accepted, run_load
from bench.serving import Server

ENOUGH = Goal(600)
ADDED_MS = Goal(5.0, at_least=False)
PACE = 100
"""Calls per second of the paced rounds: far below what either can, so that latencies are not queueing."""
THROUGH_US = request("POST", "/api/v1/execute/hello.greet", b'{"input":{"name":"ada"}}')
DIRECTLY = request("POST", "/reasoners/greet", b'{"name":"ada"}')


def execute(bench: Bench) -> None:
    """Synchronous calls of a trivial agent: saturated, and paced beside calling the agent itself."""
    server = bench.server("execute")
    node = subprocess.Popen(
        [sys.executable, "-m", "bench.node", server.url], stdout=subprocess.PIPE, text=True
    )
    try:
        assert node.stdout is not None
        port = int(node.stdout.readline())
        bench.add(bench.http("execute, trivial agent", server, [THROUGH_US], goal=ENOUGH))
        added(bench, server, port)
    finally:
        node.kill()
        node.wait()
        server.stop()


def added(bench: Bench, server: Server, port: int) -> None:
    """Measure what we add to a call: the difference of medians, round by round in turn."""
    p50s, rounds = [], []
    for _ in range(bench.rounds):
        direct = paced(bench, port, DIRECTLY)
        ours = paced(bench, server.port, THROUGH_US)
        p50s.append(ours.p50_us / 1e3)
        rounds.append((ours.p50_us - direct.p50_us) / 1e3)
    note = f"at {PACE}/s; the call itself {median(p50s):.2f} ms"
    bench.add(figure("execute, added to the agent's own p50", "ms", rounds, ADDED_MS, note))


def paced(bench: Bench, port: int, call: bytes) -> LoadResult:
    """Call at the pace, over many connections."""
    plan = LoadPlan(HOST, port, 32, [call], bench.round_s, warm_s=bench.warm_s, rate=PACE)
    return accepted(run_load(plan))
