"""least_connections: the member with the fewest connections.

Connections are the leases that it holds from us, and what it reported beyond them: `active_connections` and
`pending_tasks` of its last report, less the leases that it held from us at that time. So our own tasks count
once and at once, and foreign work counts until the next report. Equals take turns.
"""

from stellwerk.work.balancing.candidate import Candidate


def connections(candidate: Candidate) -> float:
    return candidate.active + candidate.foreign
