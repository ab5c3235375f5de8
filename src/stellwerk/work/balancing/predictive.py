"""predictive: the member that is most likely to do well next.

The forecast is 0.7 × the mean of performance and reliability + 0.3 × the share of successes among its last
ten outcomes. Performance is 1 / (1 + average run time in seconds), half for a member that has not been
measured; reliability is the share of successes of all time. The forecast is multiplied with the share of its
capacity that is free: a member that does well is loaded first, not buried.
"""

from stellwerk.work.balancing.candidate import Candidate


def forecast(candidate: Candidate) -> float:
    """Return the forecast for one more task, 0 to 1, before its load is considered."""
    response_ms = candidate.response_ms
    performance = 0.5 if response_ms is None else 1.0 / (1.0 + response_ms / 1_000.0)
    return 0.7 * (performance + candidate.reliability) / 2 + 0.3 * candidate.recent_success


def prospects(candidate: Candidate) -> float:
    """Return the negative score: the smallest goes first."""
    return -forecast(candidate) * candidate.room
