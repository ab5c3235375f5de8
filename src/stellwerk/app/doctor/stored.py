"""What both engines' databases are asked: their migrations, and the certificates of agents."""

from collections.abc import Iterator, Sequence
from typing import Any

from stellwerk.app.doctor.finding import Finding
from stellwerk.database.errors import DatabaseTooNew, MigrationChanged
from stellwerk.database.migrate import check, known_migrations

MIGRATIONS = "SELECT number, name, checksum FROM schema_migrations ORDER BY number"
AGENTS = "SELECT agent_id, max(not_after) FROM certificates WHERE state = 'active' GROUP BY agent_id"
"""The end of each agent's own certificate. Without bound values, so that both engines take it."""
SHOWN = 5
"""Agents that are named; more are counted."""


def judge_migrations(rows: Sequence[Any]) -> Finding:
    """Compare a database with this release."""
    known = known_migrations()
    try:
        applied = check([tuple(row) for row in rows], known)
    except (DatabaseTooNew, MigrationChanged) as refused:
        return Finding.fail("database.migrations", str(refused), "start the release that wrote the database")
    missing = [one.number for one in known if one.number not in applied]
    if missing:
        return Finding.warn(
            "database.migrations",
            f"{len(missing)} of {len(known)} are missing, from {missing[0]} on",
            "the next start of this release applies them; make a backup first",
        )
    return Finding.ok("database.migrations", f"{len(known)}, those of this release")


def judge_agents(rows: Sequence[Any], now_us: int) -> Iterator[Finding]:
    """Look for agents whose certificate has ended."""
    ended = sorted(str(agent) for agent, not_after in rows if not_after < now_us)
    if ended:
        named = ", ".join(ended[:SHOWN]) + (" …" if len(ended) > SHOWN else "")
        yield Finding.warn(
            "certificates.holders",
            f"{len(ended)} of {len(rows)} agents have none that is good any more: {named}",
            "an agent that was away for so long needs a new token: stellwerk token create",
        )
    elif rows:
        yield Finding.ok("certificates.holders", f"those of {len(rows)} agents are good")
