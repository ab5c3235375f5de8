"""Units of work: what the subjects write, without knowing which engine runs it.

A unit is a generator. It yields statements and is sent the rows of each; what it returns is the answer of
`Database.write` or `Database.read`. It does no I/O and never awaits: that is what lets the SQLite engine
put many units into one fsynced transaction, and the PostgreSQL engine drive the same text over a
connection. A unit that raises is undone as a whole, and nothing else with it.

    def change_kind(group: str, kind: str) -> Unit[bool]:
        rows = yield Sql("UPDATE fleet_groups SET kind = $2 WHERE group_id = $1 RETURNING 1", (group, kind))
        yield Add("fleet.changed", len(rows))
        return bool(rows)
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

Value = str | int | float | bytes | None
"""What a parameter may be: booleans are 0 and 1, instants are BIGINT microseconds UTC, JSON is text."""

Row = Sequence[Any]
"""One row, by position."""


class PerEngine(NamedTuple):
    """One statement whose text must differ between the engines."""

    sqlite: str
    postgres: str


class Sql(NamedTuple):
    """One statement with parameters `$1`, `$2` …; answered with its rows (those of RETURNING)."""

    text: str | PerEngine
    parameters: tuple[Value, ...] = ()


class Many(NamedTuple):
    """The same writing statement for many rows of parameters; is answered with no rows."""

    text: str | PerEngine
    rows: Sequence[tuple[Value, ...]]


class Add(NamedTuple):
    """A change of a counter; summed over the transaction and written once before its commit."""

    counter: str
    amount: int


Statement = Sql | Many | Add

Unit = Generator[Statement, list[Row], T]
"""A started or fresh unit of work; see the module."""

UnitMaker = Callable[[], Unit[T]]
"""Makes the same unit afresh. Preferred by `write`: only so can it be tried again."""
