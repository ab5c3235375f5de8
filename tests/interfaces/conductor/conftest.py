"""An application on the sandbox, served by a whole control plane."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.shop import Shop, open_shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Three services, two of them a group; nothing is deployed."""
    async with open_shop(tmp_path) as opened:
        yield opened
