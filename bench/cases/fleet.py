"""Heartbeats and discovery among 1,000 agents."""

import msgspec

from bench.figures import Goal
from bench.load import request
from bench.measure import Bench
from bench.seeds import agent, call, register

AGENTS = 1_000


def fleet(bench: Bench) -> None:
    """Heartbeat of each in turn; one capability that ten have; all of them."""
    server = bench.server("fleet")
    try:
        register(server, range(AGENTS))
        names = [agent(number)["agent_id"] for number in range(AGENTS)]
        beats = [request("POST", f"/agents/{name}/heartbeat") for name in names]
        bench.add(bench.http("heartbeat, 1,000 agents", server, beats, goal=Goal(4_000)))
        asked = {"capabilities": ["capability-7-0"]}
        found = call(server, "POST", "/agents/discover", asked)["count"]
        assert found == 10, f"{found} agents have the capability, not 10"
        one = request("POST", "/agents/discover", msgspec.json.encode(asked))
        bench.add(bench.http("discover, 10 of 1,000 agents", server, [one], goal=Goal(4_000)))
        everyone = request("POST", "/agents/discover", b"{}")
        bench.add(bench.http("discover, all 1,000 agents", server, [everyone], 8, goal=Goal(300)))
        bench.add(bench.http("one agent", server, [request("GET", f"/agents/{names[1]}")]))
    finally:
        server.stop()
