"""How statements reach SQLite and what its failures mean."""

import sqlite3

import pytest

from stellwerk.database.sqlite_connection import is_refused_write, translate, unavailable
from stellwerk.database.unit import PerEngine


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT $1, $2, $1", "SELECT ?1, ?2, ?1"),
        ("SELECT $10", "SELECT ?10"),
        (PerEngine(sqlite="SELECT $2", postgres="x"), "SELECT ?2"),
    ],
)
def test_numbered_parameters_become_those_of_sqlite(text: str | PerEngine, translated: str) -> None:
    assert translate(text) == translated


def error(code: int) -> sqlite3.Error:
    made = sqlite3.OperationalError("why")
    made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(
    ("code", "retry_after_s"),
    [
        (sqlite3.SQLITE_BUSY, 1),
        (sqlite3.SQLITE_FULL, 10),
        (sqlite3.SQLITE_IOERR, 10),
        (sqlite3.SQLITE_IOERR | 4 << 8, 10),
        (sqlite3.SQLITE_CANTOPEN, 1),
        (sqlite3.SQLITE_READONLY, 1),
    ],
)
def test_failures_of_the_world_are_temporary(code: int, retry_after_s: int) -> None:
    told = unavailable(error(code))
    assert told is not None
    assert (told.retry_after_s, "why" in told.detail) == (retry_after_s, True)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_CORRUPT])
def test_failures_of_a_statement_are_not(code: int) -> None:
    assert unavailable(error(code)) is None


def test_other_errors_are_the_unit_s_own() -> None:
    assert unavailable(ValueError()) is None
    assert unavailable(sqlite3.ProgrammingError("closed")) is None
    assert not is_refused_write(ValueError())
