"""A copy of an embedded database, while a server uses it.

One step copies everything under one read: what was committed when it began is in the copy, and nothing of
what came later. Nobody waits for it; what is written meanwhile stays in the write-ahead log until it has
ended.
"""

import sqlite3
from contextlib import closing
from pathlib import Path


class CopyUnusable(Exception):
    """The database cannot be copied, or its copy is not sound; says what is wrong."""


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database into a new file, and look whether the copy is sound. Raises CopyUnusable."""
    escaped = str(source.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        # Opened for writing, because a log without a reader has to be made ready; nothing is written.
        with closing(sqlite3.connect(f"file:{escaped}?mode=rw", uri=True, timeout=30.0)) as found:
            found.execute("PRAGMA query_only = ON")
            with closing(sqlite3.connect(target)) as copy:
                found.backup(copy, pages=-1)
                # One file, whole by itself: a log beside it would not travel along.
                copy.execute("PRAGMA journal_mode = DELETE")
                said = [row[0] for row in copy.execute("PRAGMA quick_check(5)")]
    except sqlite3.Error as error:
        raise CopyUnusable(f"{source} cannot be copied: {error}") from error
    if said != ["ok"]:
        raise CopyUnusable(f"the copy of {source} is not sound: {'; '.join(map(str, said))}")
