"""What a campaign leaves, in the checker's own words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from e2e.deploys.orders import Order


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation as the API shows it."""

    id: str
    instance: str
    kind: str
    services: tuple[str, ...]
    note: str
    state: str
    requested_at: str
    started_at: str
    finished_at: str
    attempt: int
    release: int | None
    failure: str


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of the cluster."""

    namespace: str
    kind: str
    name: str
    uid: str
    marker: str = ""
    version: str = ""
    """Changes with every write."""
    service: str = ""
    """Whose it says that it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of an inventory."""

    kind: str
    name: str
    service: str
    uid: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the checker looks at."""

    orders: Mapping[str, Order]
    """By note."""
    acknowledged: Mapping[str, str]
    """Ids of operations that were answered for, with their notes."""
    operations: Sequence[OperationRow]
    told: Sequence[tuple[str, str]]
    """Kind of event and operation, in the order of the journal."""
    ours: Mapping[str, Sequence[Thing]]
    """What carries our marks, by instance."""
    ours_elsewhere: Sequence[Thing]
    """What carries our marks outside of the namespaces of the instances."""
    inventories: Mapping[str, Sequence[Entry]]
    """In the cluster, by instance."""
    copies: Mapping[str, Sequence[Entry]]
    """In the database."""
    foreign_before: Sequence[Thing]
    foreign_after: Sequence[Thing]
