"""A filter means the same for rows that stream by and as SQL."""

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.database.sqlite_connection import translate
from stellwerk.database.unit import Row
from stellwerk.journal.event import EventFilter
from stellwerk.journal.filtering import COLUMNS, indexed_conditions, matches, other_conditions

KINDS = st.sampled_from(
    ["task.dead", "task.deadly", "task", "tasks.dead", "agent.late", "task.dead.late", "a%_"]
)
WANTED_KINDS = st.sampled_from(["task.dead", "task.*", "agent.*", "task.dead.*", "a%_", "*", ".*"])
WORDS = st.sampled_from(["a", "A", "b", "ä", ""])
OPTIONAL = st.none() | WORDS
INSTANTS = st.integers(0, 5)

ROWS = st.lists(
    st.tuples(INSTANTS, KINDS, st.just("task"), OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL, st.just("{}")),
    max_size=8,
)
FILTERS = st.builds(
    EventFilter,
    kinds=st.lists(WANTED_KINDS, max_size=3).map(tuple),
    group=OPTIONAL,
    task=OPTIONAL,
    principal=OPTIONAL,
    application=OPTIONAL,
    since=st.none() | INSTANTS,
    until=st.none() | INSTANTS,
)


@given(ROWS, FILTERS)
def test_rows_that_match_are_those_that_the_sql_finds(rows: list[Row], wanted: EventFilter) -> None:
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE events ({COLUMNS})")
    database.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?)", rows)
    indexed, values = indexed_conditions(wanted, 1)
    others, more = other_conditions(wanted, 1 + len(values))
    text = translate(f"SELECT rowid FROM events WHERE 1 = 1{indexed}{others}")
    found = [row[0] for row in database.execute(text, (*values, *more))]
    database.close()
    assert found == [number for number, row in enumerate(rows, 1) if matches(wanted, (0, number, *row))]
