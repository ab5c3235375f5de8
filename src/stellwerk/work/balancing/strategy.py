"""What a balancing strategy is: it makes rosters, and a roster picks among the holders that match a queue."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.task import Waiting


class StrategyName(StrEnum):
    """The strategies that can be switched to."""

    ROUND_ROBIN = "round_robin"
    LEAST_CONNECTIONS = "least_connections"
    LEAST_RESPONSE_TIME = "least_response_time"
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"
    RESOURCE_BASED = "resource_based"
    CAPABILITY_BASED = "capability_based"
    PREDICTIVE = "predictive"
    CONSISTENT_HASH = "consistent_hash"


class Roster(Protocol):
    """The holders that match one queue, ordered for the next pick."""

    def add(self, candidate: Candidate) -> None:
        """Let the holder take part."""
        ...

    def discard(self, candidate: Candidate) -> None:
        """Leave the holder out; no error if it was not in."""
        ...

    def touch(self, candidate: Candidate) -> None:
        """Learn that a member's figures have changed. Cheap: the order is mended when a pick needs it."""
        ...

    def free(self) -> int:
        """Return how many more tasks the members may get now; above 0, `pick` finds one."""
        ...

    def pick(self, waiting: Waiting) -> Candidate | None:
        """Choose a member that has room, None if all are full. Changes nothing by itself."""
        ...

    def took(self, candidate: Candidate) -> None:
        """Learn that the pick was carried out here: what rotates goes on."""
        ...

    def __len__(self) -> int: ...

    def __contains__(self, candidate: Candidate) -> bool: ...


class Strategy(Protocol):
    """One way to choose; holds what its rosters share."""

    @property
    def name(self) -> StrategyName: ...

    def roster(self, members: Iterable[Candidate]) -> Roster:
        """Make the roster of one queue. Its members have arrived."""
        ...

    def arrive(self, candidate: Candidate) -> None:
        """Learn of a connected holder, before any roster has it. Idempotent."""
        ...

    def leave(self, candidate: Candidate) -> None:
        """Forget a holder, after every roster has discarded it. Idempotent."""
        ...
