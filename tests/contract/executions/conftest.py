"""A replica with processes of an agent, on both engines."""

from collections.abc import AsyncIterator

import pytest

from stellwerk.database.database import Database
from support.traffic import Process, Site, begin_process, open_site


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with open_site(database) as site:
        yield site


@pytest.fixture
async def processes(site: Site) -> AsyncIterator[list[Process]]:
    """Processes that are ended with the test."""
    started: list[Process] = []
    yield started
    for process in started:
        await process.die()


@pytest.fixture
async def process(site: Site, processes: list[Process]) -> Process:
    return await begin_process(site, processes)
