"""Databases for servers that are started as processes."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count

import asyncpg
import pytest

from support.postgres import PostgresServer

numbers = count()


@pytest.fixture
def new_database(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """Make an empty PostgreSQL database at every call and return its URL; all are dropped at the end."""
    made: list[str] = []

    async def run(statement: str) -> None:
        admin = await asyncpg.connect(postgres_server.url())
        await admin.execute(statement)
        await admin.close()

    def make() -> str:
        name = f"e2e_{next(numbers)}"
        asyncio.run(run(f"CREATE DATABASE {name}"))
        made.append(name)
        return postgres_server.url(name)

    yield make
    for name in made:
        asyncio.run(run(f"DROP DATABASE {name} WITH (FORCE)"))
