"""round_robin: everybody in turn.

The turn is that of the member that was picked longest ago, by whatever queue. With one queue and members
that have room, each gets exactly one task in every round; an agent that serves two queues is not handed two
shares. Who arrives joins behind those who wait for their turn; who was full does not catch up on missed
turns.
"""

from stellwerk.work.balancing.candidate import Candidate


def turn(candidate: Candidate) -> float:
    return candidate.picked
