"""What is counted of sessions, for the metrics. Since the process began, and bounded."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from stellwerk.clock import MICROSECONDS
from stellwerk.inquiry.sessions.session import Session
from stellwerk.journal.event import Event, Retention

BUCKETS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)
"""The published ones begin at five seconds, for a model; without one seconds are long."""
SIGNALS = 100
"""Names of signals that are counted apart: a caller may send any."""
OTHER = "other"


class Figures:
    """See the module."""

    def __init__(self) -> None:
        self.begun: Counter[tuple[str, str]] = Counter()
        """By name of the signal and severity."""
        self.finished: Counter[str] = Counter()
        """By outcome."""
        self.durations: dict[str, list[int]] = {}
        """By outcome, in buckets, not cumulated; the last is for longer ones."""
        self.seconds: dict[str, float] = {}
        self.emitted: Counter[str] = Counter()
        """Audit events that the journal has, by kind."""

    def started(self, session: Session) -> None:
        """Count a session that was opened."""
        key = (session.target.signal, session.signal.severity)
        if key not in self.begun and len(self.begun) >= SIGNALS:
            key = (OTHER, OTHER)
        self.begun[key] += 1

    def ended(self, session: Session) -> None:
        """Count a session that has ended, and how long it took."""
        outcome = session.state.value if session.conclusion is None else session.conclusion.outcome.value
        seconds = ((session.finished_at or session.requested_at) - session.requested_at) / MICROSECONDS
        self.finished[outcome] += 1
        self.seconds[outcome] = self.seconds.get(outcome, 0.0) + seconds
        buckets = self.durations.setdefault(outcome, [0] * (len(BUCKETS_S) + 1))
        buckets[bisect_left(BUCKETS_S, seconds)] += 1

    def told(self, events: Iterable[Event]) -> None:
        """Count what was told the journal and is kept as an audit; to be called after the commit."""
        self.emitted.update(event.kind for event in events if event.retention is Retention.AUDIT)
