"""The embedded database, read without leaving a trace.

A database in use, or one that a crash left, has a log beside it and is read together with that. One that was
closed in order has none; it is opened as a file that nobody changes, because SQLite would else make a log.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from stellwerk.app.doctor.finding import Finding
from stellwerk.app.doctor.stored import AGENTS, MIGRATIONS, judge_agents, judge_migrations

ADVICE = "restore a backup into a new folder: stellwerk restore FILE --data-dir NEW"


def examine_embedded(file: Path, now_us: int, *, in_use: bool) -> Iterator[Finding]:
    """Open the file, and look whether it is whole and of this release."""
    if not file.exists():
        yield Finding.ok("database", "there is none yet; the first start makes it")
        return
    log = file.with_name(file.name + "-wal")
    escaped = str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    way = "mode=ro" if in_use or log.exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"file:{escaped}?{way}", uri=True, timeout=5.0)) as opened:
            yield _sound(opened, file)
            yield judge_migrations(opened.execute(MIGRATIONS).fetchall())
            yield from judge_agents(opened.execute(AGENTS).fetchall(), now_us)
    except sqlite3.OperationalError as error:
        advice = "start this release once" if "no such table" in str(error) else "look at the file's rights"
        yield Finding.fail("database", f"{file} cannot be read: {error}", advice)
    except sqlite3.DatabaseError as error:
        yield Finding.fail("database", f"{file} is no sound database: {error}", ADVICE)


def _sound(opened: sqlite3.Connection, file: Path) -> Finding:
    said = [str(row[0]) for row in opened.execute("PRAGMA quick_check(3)")]
    if said != ["ok"]:
        return Finding.fail("database", f"{file} is damaged: {'; '.join(said)}", ADVICE)
    return Finding.ok("database", f"{file} is sound ({file.stat().st_size / (1 << 20):.1f} MiB)")
