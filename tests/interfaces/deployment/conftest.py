"""The interface for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.machines import Machines, running_machines
from support.secure import secured


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[Machines]:
    """A fresh interface with default settings."""
    async with running_machines(tmp_path / "data") as running:
        yield running


@pytest.fixture
async def secure(machines: Machines, tmp_path: Path) -> AsyncIterator[Machines]:
    """The same behind real TLS listeners, where agents show their certificates."""
    async with secured(machines, tmp_path) as running:
        yield running
