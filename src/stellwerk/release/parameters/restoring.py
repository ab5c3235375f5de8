"""Parameters that go back with a release."""

from collections.abc import Mapping
from typing import Any

from stellwerk.release.ownership import Identity
from stellwerk.release.parameters.service import Parameters


class Restorer:
    """Sets parameters back on behalf of operations; see `operations.run.Restoring`."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    async def restore(self, identity: Identity, parameters: Mapping[str, Any], *, by: str, why: str) -> None:
        """Store what a release was made with."""
        await self._parameters.put_back(identity.instance, parameters, by=by, why=why)
