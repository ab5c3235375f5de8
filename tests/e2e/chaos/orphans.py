"""Looks for rows without what they belong to, behind the product's back."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg

LIMIT = 20
STATEMENTS = {
    "its task has no payload": """
SELECT task_id FROM tasks t WHERE NOT EXISTS (SELECT 1 FROM task_payloads p WHERE p.task_id = t.task_id)""",
    "a payload without a task": """
SELECT task_id FROM task_payloads p WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.task_id = p.task_id)""",
    "a result without a task": """
SELECT task_id FROM task_results r WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.task_id = r.task_id)""",
    "succeeded without a result": """
SELECT task_id FROM tasks t WHERE state = 'succeeded'
AND NOT EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = t.task_id)""",
    "a log without a task": """
SELECT DISTINCT task_id FROM task_logs l
WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.task_id = l.task_id)""",
    "an idempotency key without a task": """
SELECT key FROM idempotency_keys k WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.task_id = k.task_id)""",
    "ended, and still under a lease": """
SELECT task_id FROM tasks WHERE finished_at IS NOT NULL AND lease_expires_at IS NOT NULL""",
    "held by nobody, and under a lease": """
SELECT task_id FROM tasks WHERE lease_expires_at IS NOT NULL AND holder_group IS NULL""",
    "at work without a lease": """
SELECT task_id FROM tasks WHERE state IN ('leased', 'running') AND lease_expires_at IS NULL""",
    "an instance without a group": """
SELECT i.instance_id FROM fleet_instances i
WHERE NOT EXISTS (SELECT 1 FROM fleet_groups g WHERE g.group_id = i.group_id)""",
}


def find_orphans(data_dir: Path, database: str | None) -> dict[str, list[str]]:
    """Return some rows of each kind of orphan; an empty dictionary where there are none."""
    found = on_sqlite(data_dir) if database is None else asyncio.run(on_postgres(database))
    return {wrong: rows for wrong, rows in found.items() if rows}


def on_sqlite(data_dir: Path) -> dict[str, list[str]]:
    connection = sqlite3.connect(f"file:{data_dir / 'stellwerk.db'}?mode=ro", uri=True)
    try:
        return {
            wrong: [row[0] for row in connection.execute(f"{text} LIMIT {LIMIT}")]
            for wrong, text in STATEMENTS.items()
        }
    finally:
        connection.close()


async def on_postgres(database: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(database)
    try:
        return {
            wrong: [row[0] for row in await connection.fetch(f"{text} LIMIT {LIMIT}")]
            for wrong, text in STATEMENTS.items()
        }
    finally:
        await connection.close()
