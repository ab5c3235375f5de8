"""What a balancing strategy is: it makes rosters, and a roster picks among the holders that match one queue."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from stellwerk.work.balancing.standing import Standing
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

    def add(self, standing: Standing) -> None:
        """Let the holder take part."""
        ...

    def discard(self, standing: Standing) -> None:
        """Leave the holder out; no error if it was not in."""
        ...

    def touch(self, standing: Standing) -> None:
        """Learn that the figures of a member have changed. Cheap: the order is mended when the next pick needs it."""
        ...

    def pick(self, waiting: Waiting) -> Standing | None:
        """Choose a member with free capacity, or None if all are full. Changes nothing by itself."""
        ...

    def has_free(self) -> bool:
        """Tell whether `pick` would find a member."""
        ...

    def __len__(self) -> int: ...


class Strategy(Protocol):
    """One way to choose; holds what its rosters share."""

    @property
    def name(self) -> StrategyName: ...

    def roster(self, members: Iterable[Standing]) -> Roster:
        """Make the roster of one queue."""
        ...

    def arrive(self, standing: Standing) -> None:
        """Learn of a connected holder, before any roster has it."""
        ...

    def leave(self, standing: Standing) -> None:
        """Forget a holder, after every roster has discarded it."""
        ...
