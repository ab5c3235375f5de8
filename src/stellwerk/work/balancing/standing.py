"""What a strategy may look at: the standing of one connected holder."""

from stellwerk.work.task import Holder


class Standing:
    """The figures of one connected holder as the balancing sees them; written by `seats` and nobody else.

    Not frozen, because a strategy looks at thousands of them and one changes with every task.
    """

    __slots__ = (
        "accepting",
        "active",
        "capabilities",
        "capacity",
        "cpu",
        "failed",
        "foreign",
        "holder",
        "memory",
        "picked",
        "recent",
        "response_ms",
        "succeeded",
        "weight",
    )

    def __init__(self, holder: Holder, capacity: int) -> None:
        self.holder = holder
        self.capacity = capacity
        """Tasks at once; at least 0."""
        self.active = 0
        """Leases that it holds from us."""
        self.foreign = 0.0
        """Connections and pending tasks that it reported beyond our own leases at the time of the report."""
        self.accepting = True
        """False in maintenance, error, inactive or offline: it gets nothing new."""
        self.capabilities: frozenset[str] = frozenset()
        self.cpu: float | None = None
        """Share in use, 0 to 1, as last reported; None means never reported."""
        self.memory: float | None = None
        """Share in use, 0 to 1, as last reported; None means never reported."""
        self.weight = 1.0
        """The wish of its registration; above 0."""
        self.succeeded = 0
        self.failed = 0
        self.response_ms: float | None = None
        """Moving average of the run times of its tasks; None before the first outcome."""
        self.recent = 0
        """The last ten outcomes as bits under a leading 1 (a 1 is a success): 0 and 1 mean that there were none."""
        self.picked = 0
        """Number of the choice that took it last; a newcomer gets the number of its arrival."""

    @property
    def free(self) -> int:
        """Tasks that it can still take; 0 where it accepts nothing."""
        return self.capacity - self.active if self.accepting and self.capacity > self.active else 0
