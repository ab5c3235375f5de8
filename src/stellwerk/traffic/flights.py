"""Flights: the executions that are under way from here, by agent, version and instance.

What is in memory can be read again from the database; it is here because every choice and every limit asks
for the counts.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TypeVar

from stellwerk.traffic.parcel import Parcel
from stellwerk.traffic.routing import Choice
from stellwerk.work.lifecycle import Live
from stellwerk.work.task import Holder

K = TypeVar("K", bound=Hashable)

Key = tuple[str, str]
"""Group and instance."""


class Flight:
    """One execution under way."""

    __slots__ = (
        "accepted",
        "address",
        "attempt",
        "dialling",
        "ended",
        "fence",
        "group",
        "id",
        "instance",
        "orphan_until",
        "parcel",
        "patient",
        "registered_at",
        "repeatable",
        "started_at",
        "submitted_at",
        "tried",
        "unreachable",
        "version",
    )

    def __init__(
        self, parcel: Parcel, choice: Choice, *, submitted_at: int, repeatable: bool, patient: bool
    ) -> None:
        self.parcel = parcel
        self.id = parcel.id
        self.group = parcel.target.group
        self.submitted_at = submitted_at
        self.started_at = submitted_at
        self.repeatable = repeatable
        self.patient = patient
        """Whether it goes back into the queue where nobody can be dialled; else it fails."""
        self.fence = 1
        self.attempt = 1
        self.accepted = False
        """Whether the agent promised to report."""
        self.dialling = False
        """Whether its answer is being waited for."""
        self.tried: set[str] = set()
        self.unreachable = False
        self.orphan_until: int | None = None
        """Whether, and how long, somebody may still report on it whom a former process had sent it to."""
        self.ended: Live | None = None
        self.take(choice)

    def take(self, choice: Choice) -> None:
        """Go to another instance."""
        self.version = choice.version
        self.instance = choice.place.instance
        self.address = choice.place.address
        self.registered_at = choice.place.registered_at

    @property
    def holder(self) -> Holder:
        return Holder(self.group, self.instance)

    @property
    def key(self) -> Key:
        return self.group, self.instance


class Flights:
    """All of them."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._of_instance: dict[Key, dict[str, Flight]] = {}
        self._of_group: Counter[str] = Counter()
        self._of_version: Counter[Key] = Counter()

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[Flight]:
        return iter(tuple(self._flights.values()))

    def get(self, execution_id: str) -> Flight | None:
        """Look one up."""
        return self._flights.get(execution_id)

    def add(self, flight: Flight) -> None:
        """Take one in."""
        self._flights[flight.id] = flight
        self._of_group[flight.group] += 1
        self._place(flight)

    def remove(self, execution_id: str) -> Flight | None:
        """Take one out; None if it is not here."""
        flight = self._flights.pop(execution_id, None)
        if flight is not None:
            _less(self._of_group, flight.group)
            self._displace(flight)
        return flight

    def move(self, flight: Flight, choice: Choice) -> None:
        """Let one go to another instance."""
        here = flight.id in self._flights
        if here:
            self._displace(flight)
        flight.take(choice)
        if here:
            self._place(flight)

    def load(self, group: str, instance: str) -> int:
        """Count those of an instance."""
        return len(self._of_instance.get((group, instance), ()))

    def of_group(self, group: str) -> int:
        """Count those of an agent."""
        return self._of_group.get(group, 0)

    def of_version(self, group: str, version: str) -> int:
        """Count those of a version."""
        return self._of_version.get((group, version), 0)

    def of_instance(self, key: Key) -> list[Flight]:
        """List those of an instance."""
        return list(self._of_instance.get(key, {}).values())

    def instances(self) -> list[Key]:
        """List the instances that have any."""
        return list(self._of_instance)

    def _place(self, flight: Flight) -> None:
        self._of_instance.setdefault(flight.key, {})[flight.id] = flight
        self._of_version[(flight.group, flight.version)] += 1

    def _displace(self, flight: Flight) -> None:
        flights = self._of_instance.get(flight.key, {})
        flights.pop(flight.id, None)
        if not flights:
            self._of_instance.pop(flight.key, None)
        _less(self._of_version, (flight.group, flight.version))


def _less(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
