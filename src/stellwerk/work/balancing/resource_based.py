"""resource_based: the member with the most to give.

The mean of its free processor and memory shares as last reported (`cpu_usage`, `memory_usage`; never
reported counts as half), times its reliability, times the share of its capacity that is free. The last
factor stands for what has been handed out since the report: without it everything would go to one member
until it reports again.
"""

from stellwerk.work.balancing.candidate import Candidate

_UNREPORTED = 0.5


def resources(candidate: Candidate) -> float:
    """Return the negative score: the smallest goes first."""
    cpu = _UNREPORTED if candidate.cpu is None else candidate.cpu
    memory = _UNREPORTED if candidate.memory is None else candidate.memory
    headroom = max(1.0 - (cpu + memory) / 2, 0.01)
    return -headroom * candidate.reliability * candidate.room
