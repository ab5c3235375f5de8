"""Tasks from submission to durable completion over the agents' WebSocket, and how soon a worker hears of
one.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import NamedTuple

from bench.figures import Figure, Goal, figure
from bench.load import STAMP, LoadPlan
from bench.measure import HOST, Bench, Hands, Refused, accepted, run_load
from bench.seeds import agent, finished_tasks, register, size_on_disk, submission
from bench.serving import Server
from bench.worker import WorkPlan

CAPACITY = 64
SUBMITTERS = 32


def delivery(bench: Bench) -> None:
    """With 10 and with 1,000 connected agents; then the latency at half of the rate just measured."""
    server = bench.server("delivery")
    try:
        register(server, range(10))
        empty = size_on_disk(server)
        full = end_to_end(bench, server, "end to end, 10 agents", agents=10)
        each = (size_on_disk(server) - empty) / (bench.rounds * tasks_a_round(bench))
        bench.add(figure("disk, a finished task with payload, result and events", "bytes", [each]))
        latency_at_half_load(bench, server, full.value / 2)
        register(server, range(10, 1_000))
        end_to_end(bench, server, "end to end, 1,000 agents", agents=1_000)
    finally:
        server.stop()


def tasks_a_round(bench: Bench) -> int:
    return 3_000 if bench.quick else 20_000


def end_to_end(bench: Bench, server: Server, case: str, agents: int) -> Figure:
    """Time from the first submission to the last durable completion; the states are counted afterwards."""
    count = tasks_a_round(bench)
    rates, costs = [], []
    for number in range(bench.rounds):
        task_type = f"{case}-{number}".replace(" ", "-").replace(",", "")
        worked = work_off([server], agents, count, task_type)
        rates.append(worked.per_second)
        costs.append(worked.server_us)
    row = Figure(
        case, median(rates), "tasks/s", min(rates), max(rates), server_us=median(costs), goal=Goal(2_500)
    )
    return bench.add(row)


class Worked(NamedTuple):
    """Tasks a second from the first submission to the last completion, and what one cost the servers."""

    per_second: float
    server_us: float
    submitted_per_second: float


def work_off(servers: Sequence[Server], agents: int, count: int, task_type: str) -> Worked:
    """Submit tasks and work them off, over all the servers alike; `agents` connect to each.

    Raises Refused if one task did not end well.
    """
    # Who works off what is the dispatcher's choice: with several servers each worker ends when nothing comes.
    patience_s = 15.0 if len(servers) == 1 else 2.0
    hands = []
    before = sum(server.running.cpu_s() for server in servers)
    try:
        for number, server in enumerate(servers):
            first = number * agents
            plan = work_plan(server, range(first, first + agents), expect=count, patience_s=patience_s)
            hands.append(Hands(plan))
        asked = [submission("bench", task_type=task_type)]
        shares = [
            LoadPlan(HOST, server.port, SUBMITTERS // len(servers), asked, count=count // len(servers))
            for server in servers
        ]
        with ThreadPoolExecutor(len(shares)) as pool:
            sent = [accepted(one) for one in pool.map(run_load, shares)]
    except Refused:
        for one in hands:
            one.end()
        raise
    worked = [one.result() for one in hands]
    cost = sum(server.running.cpu_s() for server in servers) - before
    states = finished_tasks(servers[0], task_type)
    if states != {"succeeded": count}:
        raise Refused(f"{count} submitted, found {states}; workers: {worked}")
    first_us, last_us = min(one.first_sent_us for one in sent), max(one.last_settled_us for one in worked)
    answered_us = max(one.last_answer_us for one in sent)
    return Worked(
        count / (last_us - first_us) * 1e6, cost / count * 1e6, count / (answered_us - first_us) * 1e6
    )


def latency_at_half_load(bench: Bench, server: Server, rate: float) -> None:
    """Open loop at `rate` tasks per second: from the sending of a submission to its arrival at a worker."""
    sent50, sent99, accepted99 = [], [], []
    for _ in range(bench.rounds):
        seconds = bench.round_s
        count = int(rate * seconds)
        hands = Hands(work_plan(server, range(10), expect=count, latencies=True))
        asked = [submission("bench", sent_us=STAMP.decode())]
        plan = LoadPlan(HOST, server.port, 32, asked, rate=rate, count=count, stamp=True)
        accepted(run_load(plan))
        result = hands.result()
        sent50.append(result.sent_p50_us / 1e3)
        sent99.append(result.sent_p99_us / 1e3)
        accepted99.append(result.accepted_p99_us / 1e3)
    note = f"at {rate:,.0f}/s; from sending to arrival"
    bench.add(figure("dispatch latency p50, half load", "ms", sent50, note=note))
    bench.add(figure("dispatch latency p99, half load", "ms", sent99, Goal(10, at_least=False), note))
    note = "from `submitted_at` to arrival"
    bench.add(figure("dispatch latency p99, half load, server's stamp", "ms", accepted99, note=note))


def work_plan(
    server: Server, numbers: Sequence[int], expect: int, patience_s: float = 15, latencies: bool = False
) -> WorkPlan:
    names = [str(agent(number)["agent_id"]) for number in numbers]
    return WorkPlan(HOST, server.port, names, CAPACITY, expect, patience_s=patience_s, latencies=latencies)
