"""How often agents are to report: as often as asked for while they are few, seldomer the more there are.

A heartbeat costs the server the same however large the fleet is, so their rate is what is bounded. Steps of
some seconds, because every change of the interval is told to every agent.
"""

HEARTBEATS_PER_S = 50.0
"""Heartbeats of agents with a stream: a thirtieth of what one process takes."""
LOOKS_PER_S = 200.0
"""Heartbeats of agents without one, by which they look for tasks."""
STEP_S = 5


def interval_s(agents: int, least_s: float, per_s: float = HEARTBEATS_PER_S) -> int:
    """Return the seconds between two reports of one agent; never less than `least_s`."""
    needed_s = agents / per_s
    if needed_s <= least_s:
        return max(1, int(least_s))
    return -int(-needed_s // STEP_S) * STEP_S
