"""What a server costs that does nothing: its start, its memory, and that of connected agents."""

import os
import time

from bench.cases.delivery import work_plan
from bench.figures import Goal, figure
from bench.measure import Bench, Hands
from bench.seeds import register
from bench.serving import Server

MIB = 1024 * 1024
SETTLE_S = 1.0


def idle(bench: Bench) -> None:
    """Start to ready file, resident memory, and the memory of 2,000 idle sockets."""
    starts, sizes = [], []
    # One start more, whose figures do not count: it leaves the bytecode that an installer makes.
    for number in range(bench.rounds + 1):
        server = Server(bench.folder / f"start-{number}")
        server.environment = with_bytecode(bench)
        server.start()
        time.sleep(SETTLE_S)
        starts.append(server.ready_s)
        sizes.append(server.running.rss_bytes() / MIB)
        server.stop()
    del starts[0], sizes[0]
    note = "with bytecode, as installed"
    bench.add(figure("start until ready", "s", starts, Goal(2, at_least=False), note))
    bench.add(figure("idle server", "MiB", sizes, Goal(120, at_least=False)))
    idle_sockets(bench)


def with_bytecode(bench: Bench) -> dict[str, str]:
    """Return an environment in which compiled modules are kept, whatever this process was told."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(bench.folder / "bytecode")}


def idle_sockets(bench: Bench) -> None:
    agents = 300 if bench.quick else 2_000
    server = bench.server("sockets")
    try:
        time.sleep(SETTLE_S)
        before = server.running.rss_bytes()
        register(server, range(agents))
        registered = server.running.rss_bytes()
        hands = Hands(work_plan(server, range(agents), expect=0))
        time.sleep(SETTLE_S)
        connected = server.running.rss_bytes()
        hands.end()
        grown, each = (connected - before) / MIB, (connected - registered) / agents / 1024
        note = f"{each:.1f} KiB a socket; {(registered - before) / agents / 1024:.1f} KiB a registration"
        goal = Goal(200 * agents / 2_000, at_least=False)
        bench.add(figure(f"{agents:,} idle WebSocket agents, over idle", "MiB", [grown], goal, note))
    finally:
        server.stop()
