"""A listener for each test."""

from collections.abc import AsyncIterator

import pytest

from support.listening import CLOSED, Listening, listening


@pytest.fixture
async def served() -> AsyncIterator[Listening]:
    """An open listener."""
    async with listening() as running:
        yield running


@pytest.fixture
async def closed() -> AsyncIterator[Listening]:
    """A listener that needs API keys."""
    async with listening(CLOSED) as running:
        yield running
