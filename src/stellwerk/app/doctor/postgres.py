"""The PostgreSQL server: whether it answers, what it holds, its clock, and settings that matter to us."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from stellwerk.app.doctor.clocks import judge_clock
from stellwerk.app.doctor.finding import Finding
from stellwerk.app.doctor.stored import AGENTS, MIGRATIONS, judge_agents, judge_migrations
from stellwerk.clock import Clock
from stellwerk.settings import DatabaseSettings

OLDEST = 140_000
"""PostgreSQL 14: the oldest one that its makers still look after."""
CONNECT_S = 5.0
NAMES = ("server_version_num", "max_connections", "fsync", "full_page_writes", "synchronous_commit")


async def examine_postgres(settings: DatabaseSettings, clock: Clock) -> AsyncIterator[Finding]:
    """Connect, and ask in one transaction that cannot write."""
    try:
        import asyncpg
    except ImportError:
        yield Finding.fail("database", "asyncpg is missing", "run: pip install 'stellwerk[postgres]'")
        return
    try:
        opened = await asyncpg.connect(settings.url, timeout=CONNECT_S, command_timeout=30.0)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # Never the URL: it may hold a password.
        yield Finding.fail("database", f"PostgreSQL: {_why(error)}", "look at database.url and the server")
        return
    try:
        async with opened.transaction(readonly=True):
            async for one in _ask(opened, settings, clock):
                yield one
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        yield Finding.fail("database", f"PostgreSQL: {_why(error)}", "look at the log of PostgreSQL")
    finally:
        await opened.close(timeout=CONNECT_S)


async def _ask(opened: Any, settings: DatabaseSettings, clock: Clock) -> AsyncIterator[Finding]:
    rows = await opened.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(NAMES))
    found = {str(name): str(setting) for name, setting in rows}
    for one in judge_settings(found, settings.pool_size):
        yield one
    before = clock.now_us()
    theirs = int(await opened.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"))
    yield judge_clock("clock.database", theirs / 1e6, before / 1e6, clock.now_us() / 1e6)
    if await opened.fetchval("SELECT pg_is_in_recovery()"):
        yield Finding.fail(
            "database", "it is a standby and takes no writes", "name the primary in database.url"
        )
    if not await opened.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL"):
        yield Finding.ok("database.migrations", "the database is empty; the first start fills it")
        return
    yield judge_migrations(await opened.fetch(MIGRATIONS))
    for one in judge_agents(await opened.fetch(AGENTS), clock.now_us()):
        yield one


def judge_settings(found: Mapping[str, str], pool_size: int) -> Iterator[Finding]:
    """Judge what the server says of itself."""
    version = int(found["server_version_num"])
    told = f"PostgreSQL {version // 10_000}.{version % 10_000} answers"
    if version < OLDEST:
        yield Finding.warn("database", told, f"it is older than {OLDEST // 10_000}: upgrade it")
    else:
        yield Finding.ok("database", told)
    for name in ("fsync", "full_page_writes"):
        if found[name] == "off":
            yield Finding.fail(
                f"postgres.{name}",
                "off: what was acknowledged is lost when its machine fails",
                f"set {name} = on in postgresql.conf",
            )
    # A server asks for it in its own sessions, whatever stands here; others on this database may not.
    if found["synchronous_commit"] == "off":
        yield Finding.warn(
            "postgres.synchronous_commit", "off by default; our sessions set it", "set it to on for all"
        )
    limit, needed = int(found["max_connections"]), pool_size + 1
    if limit < needed:
        yield Finding.fail(
            "postgres.max_connections",
            f"{limit}, and one replica takes {needed}",
            "raise it, or lower database.pool_size",
        )
    else:
        yield Finding.ok(
            "postgres.max_connections", f"{limit}: room for {limit // needed} replicas of {needed}"
        )


def _why(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
