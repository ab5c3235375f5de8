"""The interface for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.machines import Machines, running_machines


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[Machines]:
    """A fresh interface with default settings."""
    async with running_machines(tmp_path / "data") as running:
        yield running
