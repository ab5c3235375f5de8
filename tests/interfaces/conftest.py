"""A control plane for each test of an interface."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.plane import Caller, Plane, running_plane


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    """A fresh control plane with default settings."""
    async with running_plane(tmp_path / "data") as running:
        yield running


@pytest.fixture
def api(plane: Plane) -> Caller:
    """The main listener."""
    return plane.main
