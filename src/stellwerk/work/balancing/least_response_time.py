"""least_response_time: the member that is expected to answer first.

Its average run time (moving, successes only) times the connections that it would have with this task: the
average alone would send everything to the fastest member until it is the slowest. An idle member that has
not been measured gets one task at once, as a probe; until that ends it counts as slow (one second).
"""

from stellwerk.work.balancing.candidate import Candidate

_UNMEASURED_MS = 1_000.0


def expected_response(candidate: Candidate) -> float:
    """Return milliseconds; the smallest goes first."""
    connections = candidate.active + candidate.foreign
    if candidate.response_ms is not None:
        return candidate.response_ms * (connections + 1.0)
    return _UNMEASURED_MS * (connections + 1.0) if connections else 0.0
