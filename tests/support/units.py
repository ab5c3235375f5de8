"""Small units of work on the table `settings_kv`, for tests of the engines themselves."""

from stellwerk.database.unit import Add, Many, PerEngine, Sql, Unit


class Refused(Exception):
    """What a unit of these raises on purpose."""


def put(name: str, value: str = "1", count: int = 0) -> Unit[str]:
    yield Sql("INSERT INTO settings_kv (name, value, updated_at) VALUES ($1, $2, $3)", (name, value, 1))
    if count:
        yield Add("puts", count)
    return name


def put_many(names: list[str]) -> Unit[None]:
    yield Many(
        "INSERT INTO settings_kv (name, value, updated_at) VALUES ($1, $2, $3)", [(n, "1", 1) for n in names]
    )


def put_then_raise(name: str) -> Unit[None]:
    yield from put(name, count=100)
    raise Refused(name)


def names() -> Unit[list[str]]:
    return [row[0] for row in (yield Sql("SELECT name FROM settings_kv ORDER BY name"))]


def sleep(seconds: float) -> Unit[None]:
    """Keep the engine busy: PostgreSQL sleeps, SQLite counts (some ten million steps a second)."""
    yield Sql(
        PerEngine(
            sqlite=(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)"
                " SELECT max(i) FROM n"
            ),
            postgres="SELECT pg_sleep($1 / 3e6)",
        ),
        (int(seconds * 3e6),),
    )
