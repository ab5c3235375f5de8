"""What a filter means: once for rows that stream by, once as SQL; a test holds the two together."""

from stellwerk.database.unit import Row, Value
from stellwerk.journal.event import EventFilter

COLUMNS = "at, kind, class, group_id, task_id, principal, application, data"
"""Columns of an event; a stored row has the two of its position before them."""

AT, KIND, GROUP, TASK, PRINCIPAL, APPLICATION = 2, 3, 5, 6, 7, 8


def matches(wanted: EventFilter, row: Row) -> bool:
    """Whether the stored row is wanted."""
    return (
        (not wanted.kinds or any(_is_kind(row[KIND], kind) for kind in wanted.kinds))
        and (wanted.group is None or row[GROUP] == wanted.group)
        and (wanted.task is None or row[TASK] == wanted.task)
        and (wanted.principal is None or row[PRINCIPAL] == wanted.principal)
        and (wanted.application is None or row[APPLICATION] == wanted.application)
        and (wanted.since is None or row[AT] >= wanted.since)
        and (wanted.until is None or row[AT] < wanted.until)
    )


def is_selective(wanted: EventFilter) -> bool:
    """Whether the filter has conditions that no index answers, so that rows are looked at in vain."""
    return bool(wanted.kinds or wanted.principal or wanted.application or wanted.since or wanted.until)


def indexed_conditions(wanted: EventFilter, first: int) -> tuple[str, list[Value]]:
    """Return the SQL of the conditions with an index, its parameters numbered from `first`."""
    return _equalities((("group_id", wanted.group), ("task_id", wanted.task)), first)


def other_conditions(wanted: EventFilter, first: int) -> tuple[str, list[Value]]:
    """Return the SQL of the conditions without an index, its parameters numbered from `first`."""
    text, values = _equalities((("principal", wanted.principal), ("application", wanted.application)), first)
    for column, value in ((" AND at >= ", wanted.since), (" AND at < ", wanted.until)):
        if value is not None:
            text += f"{column}${first + len(values)}"
            values.append(value)
    kinds = []
    for kind in wanted.kinds:
        number = first + len(values)
        if kind.endswith(".*"):
            kinds.append(f"substr(kind, 1, {len(kind) - 1}) = ${number}")
            values.append(kind[:-1])
        else:
            kinds.append(f"kind = ${number}")
            values.append(kind)
    if kinds:
        text += f" AND ({' OR '.join(kinds)})"
    return text, values


def _is_kind(kind: str, wanted: str) -> bool:
    return kind.startswith(wanted[:-1]) if wanted.endswith(".*") else kind == wanted


def _equalities(pairs: tuple[tuple[str, Value], ...], first: int) -> tuple[str, list[Value]]:
    text, values = "", list[Value]()
    for column, value in pairs:
        if value is not None:
            text += f" AND {column} = ${first + len(values)}"
            values.append(value)
    return text, values
