"""Fixtures of the contract suites."""

from collections.abc import AsyncIterator

import pytest

from stellwerk.database.database import Database
from support.clock import FakeClock
from support.work import Queue


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[Queue]:
    """A started queue on each engine."""
    queue = Queue(database, FakeClock())
    await queue.start()
    yield queue
    await queue.stop()
