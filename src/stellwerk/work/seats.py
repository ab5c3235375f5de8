"""Seats: the holders that are connected now and can be handed work at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stellwerk.work.matching import Attributes
from stellwerk.work.task import Assignment, Holder


class Channel(Protocol):
    """The way to a connected holder: a WebSocket or a pusher. Never blocks, never raises."""

    @property
    def alive(self) -> bool:
        """Whether what is delivered now has a chance to arrive."""
        ...

    def deliver(self, assignments: Sequence[Assignment]) -> None:
        """Hand over work whose leases are durable."""
        ...

    def cancel(self, task_id: str, fence: int) -> None:
        """Ask to stop one attempt."""
        ...


@dataclass(frozen=True, slots=True)
class Seat:
    """One connected holder. Compared by identity: a reconnected holder has a new seat."""

    holder: Holder
    attributes: Attributes
    capacity: int
    """Tasks at once."""
    channel: Channel
    accepting: bool = True
    """False in maintenance, error, inactive or offline: it gets nothing new."""
    weight: float | None = None
    """`metadata.weight`; None means 1."""
    succeeded: int = 0
    failed: int = 0
    response_ms: float | None = None
    """Average run time so far; None means unknown."""
    load: Mapping[str, float] = field(default_factory=dict)
    """Last reported load."""


class Seats:
    """The connected holders and their free capacity. All methods belong to the event loop's thread."""

    def connect(self, seat: Seat, held: Iterable[tuple[str, int]] = ()) -> Seat | None:
        """Seat a holder that already holds these (task, fence) leases; return the seat that it replaces."""
        raise NotImplementedError

    def disconnect(self, seat: Seat) -> bool:
        """Take the seat away; False if the holder has a newer one, or none (nothing happens then)."""
        raise NotImplementedError

    def get(self, holder: Holder) -> Seat | None:
        """Return the seat of a connected holder."""
        raise NotImplementedError

    def of_group(self, group: str) -> list[Seat]:
        """Return the seats of a group's connected instances."""
        raise NotImplementedError

    def change(self, holder: Holder, attributes: Attributes, accepting: bool) -> None:
        """Follow a change of registration, condition, presence or health. No error if it is not connected."""
        raise NotImplementedError

    def report(self, holder: Holder, load: Mapping[str, float]) -> None:
        """Take note of reported load. No error if it is not connected."""
        raise NotImplementedError

    def hold(self, holder: Holder, task_id: str, fence: int) -> None:
        """Count a lease that came about by a claim. Leases of the dispatcher count themselves."""
        raise NotImplementedError

    def release(self, holder: Holder, task_id: str, fence: int) -> None:
        """Uncount a lease that has ended: settled, handed back, expired or lost. Idempotent."""
        raise NotImplementedError

    def outcome(self, holder: Holder, ok: bool, response_ms: float) -> None:
        """Learn how a task ended (after or before `release`)."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError
