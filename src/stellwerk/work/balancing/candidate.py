"""What a strategy may look at: the figures of one connected holder."""

from stellwerk.work.task import Holder

_TRUST = 4
"""Good outcomes that a newcomer is credited with: one early failure then costs a fifth, not everything."""
_REMEMBERED = 10
"""Outcomes that count as recent."""
_SMOOTHING = 0.2
"""Weight of the newest run time in the moving average: about the last ten decide."""


class Candidate:
    """One connected holder as the balancing sees it; `seats` writes it, strategies only read.

    Not frozen: a strategy orders thousands of them, and one changes with every task.
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

    def __init__(self, holder: Holder, capacity: int, picked: int = 0) -> None:
        self.holder = holder
        self.capacity = capacity
        """Tasks at once."""
        self.active = 0
        """Leases that it holds from us."""
        self.foreign = 0.0
        """Connections and pending tasks that it reported beyond our own leases at the time of the report."""
        self.accepting = True
        """False in maintenance, error, inactive or offline: it gets nothing new."""
        self.capabilities: frozenset[str] = frozenset()
        self.cpu: float | None = None
        """Share in use, 0 to 1, as last reported; None means never."""
        self.memory: float | None = None
        """Share in use, 0 to 1, as last reported; None means never."""
        self.weight = 1.0
        """What its registration asked for; above 0."""
        self.succeeded = 0
        self.failed = 0
        self.response_ms: float | None = None
        """Moving average of the run times of its tasks; None before the first outcome."""
        self.recent = 1
        """The last ten outcomes as bits below a leading 1; a 1 is a success."""
        self.picked = picked
        """Number of the last choice that took it, or of its arrival: no two have the same."""

    @property
    def connections(self) -> float:
        """What keeps it busy: our leases and what it reported beyond them."""
        return self.active + self.foreign

    @property
    def free(self) -> int:
        """How many more tasks it may get now."""
        free = self.capacity - self.active
        return free if free > 0 and self.accepting else 0

    @property
    def room(self) -> float:
        """Share of its capacity that is free, kept above 0 so that products still tell candidates apart."""
        return max(1.0 - (self.active + self.foreign) / self.capacity, 0.01) if self.capacity else 0.01

    @property
    def reliability(self) -> float:
        """Share of its tasks that succeeded, 0 to 1; a newcomer starts with credit at 1."""
        return (self.succeeded + _TRUST) / (self.succeeded + self.failed + _TRUST)

    @property
    def recent_success(self) -> float:
        """Share of successes among its last ten outcomes; its reliability while there are none."""
        count = self.recent.bit_length() - 1
        return (self.recent.bit_count() - 1) / count if count else self.reliability

    def learn(self, ok: bool, response_ms: float) -> None:
        """Take in how one of its tasks ended; only successes tell how fast it is."""
        if ok:
            self.succeeded += 1
            before = self.response_ms
            self.response_ms = response_ms if before is None else before + _SMOOTHING * (response_ms - before)
        else:
            self.failed += 1
        lead = 1 << min(self.recent.bit_length(), _REMEMBERED)
        self.recent = lead | ((self.recent << 1 | ok) & (lead - 1))
