"""The rules of migrations."""

import pytest

from stellwerk.database.errors import DatabaseTooNew, MigrationChanged
from stellwerk.database.migrate import TOKENS, Migration, check, known_migrations

ONE = Migration(
    1, "one", "-- a comment; with a semicolon\nCREATE TABLE a ({event_position}) {without_rowid};\n"
)
TWO = Migration(2, "two", "DROP TABLE a;")


def test_numbers_have_no_gap_and_every_text_has_statements() -> None:
    known = known_migrations()
    assert [migration.number for migration in known] == list(range(1, len(known) + 1))
    assert all(migration.statements("sqlite") for migration in known)


def test_both_engines_know_the_same_tokens_and_none_is_left_in_a_text() -> None:
    assert TOKENS["sqlite"].keys() == TOKENS["postgres"].keys()
    for migration in known_migrations():
        assert not [text for text in migration.statements("sqlite") if "{" in text]
        assert not [text for text in migration.statements("postgres") if "{" in text]


def test_a_text_becomes_statements_of_its_engine_without_comments() -> None:
    assert ONE.statements("sqlite") == ["CREATE TABLE a (seq INTEGER PRIMARY KEY) WITHOUT ROWID"]
    assert ONE.statements("postgres")[0].startswith("CREATE TABLE a (xid BIGINT")


def test_applied_migrations_are_told_from_missing_ones() -> None:
    assert check([(1, "one", ONE.checksum)], [ONE, TWO]) == {1}
    assert check([], [ONE, TWO]) == set()


def test_a_migration_that_is_not_known_is_a_newer_database() -> None:
    with pytest.raises(DatabaseTooNew, match=r"migration 2 \(two\), this release knows none beyond 1"):
        check([(1, "one", ONE.checksum), (2, "two", "x")], [ONE])


def test_an_edited_migration_is_refused() -> None:
    with pytest.raises(MigrationChanged, match=r"Migration 1 \(one\)"):
        check([(1, "one", "x")], [ONE])
