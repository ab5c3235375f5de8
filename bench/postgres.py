"""A PostgreSQL server for the bench: the tests' own, on disk and durable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.postgres import NoPostgres, PostgresServer

__all__ = ["NoPostgres", "PostgresServer", "durable_postgres"]

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "dynamic_shared_memory_type": "mmap",
}
"""Everything else as it is delivered: fsync and synchronous_commit are on."""


def durable_postgres() -> PostgresServer:
    """Start one. Raises NoPostgres."""
    return PostgresServer(_SETTINGS, on_disk=True)
