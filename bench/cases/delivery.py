"""Tasks from submission to durable completion over the agents' WebSocket, and how soon a worker hears of
one.
"""

from statistics import median

from bench.figures import Figure, Goal, figure
from bench.load import STAMP, LoadPlan
from bench.measure import HOST, Bench, Hands, Refused, accepted, run_load
from bench.seeds import agent, finished_tasks, register, submission
from bench.serving import Server
from bench.worker import WorkPlan

CAPACITY = 64
SUBMITTERS = 32


def delivery(bench: Bench) -> None:
    """With 10 and with 1,000 connected agents; then the latency at half of the rate just measured."""
    server = bench.server("delivery")
    try:
        register(server, range(10))
        full = end_to_end(bench, server, "end to end, 10 agents", agents=10)
        latency_at_half_load(bench, server, full.value / 2)
        register(server, range(10, 1_000))
        end_to_end(bench, server, "end to end, 1,000 agents", agents=1_000)
    finally:
        server.stop()


def end_to_end(bench: Bench, server: Server, case: str, agents: int) -> Figure:
    """Time from the first submission to the last durable completion; the states are counted afterwards."""
    count = 3_000 if bench.quick else 20_000
    rates, costs = [], []
    for number in range(bench.rounds):
        task_type = f"{case}-{number}".replace(" ", "-").replace(",", "")
        hands = Hands(work_plan(server, agents, expect=count))
        before = server.running.cpu_s()
        try:
            asked = [submission("bench", task_type=task_type)]
            sent = accepted(run_load(LoadPlan(HOST, server.port, SUBMITTERS, asked, count=count)))
        except Refused:
            hands.end()
            raise
        worked = hands.result()
        costs.append((server.running.cpu_s() - before) / count * 1e6)
        states = finished_tasks(server, task_type)
        if states != {"succeeded": count}:
            raise Refused(f"{count} submitted, found {states}; worker: {worked}")
        rates.append(count / (worked.last_settled_us - sent.first_sent_us) * 1e6)
    row = Figure(
        case, median(rates), "tasks/s", min(rates), max(rates), server_us=median(costs), goal=Goal(2_000)
    )
    return bench.add(row)


def latency_at_half_load(bench: Bench, server: Server, rate: float) -> None:
    """Open loop at `rate` tasks per second: from the sending of a submission to its arrival at a worker."""
    sent50, sent99, accepted99 = [], [], []
    for _ in range(bench.rounds):
        seconds = bench.round_s
        count = int(rate * seconds)
        hands = Hands(work_plan(server, 10, expect=count, latencies=True))
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


def work_plan(server: Server, agents: int, expect: int, latencies: bool = False) -> WorkPlan:
    names = [str(agent(number)["agent_id"]) for number in range(agents)]
    return WorkPlan(HOST, server.port, names, CAPACITY, expect, patience_s=15, latencies=latencies)
