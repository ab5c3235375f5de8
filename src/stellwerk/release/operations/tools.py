"""What runs work with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.operations.sealing import Sealer
from stellwerk.release.operations.settling import Settling
from stellwerk.release.operations.store import KEPT
from stellwerk.release.ownership import Identity


class Restoring(Protocol):
    """Sets parameters back to what they were in a release."""

    async def restore(
        self, identity: Identity, parameters: Mapping[str, Any], *, by: str, why: str
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs work with."""

    cluster: Cluster
    settling: Settling
    restoring: Restoring
    database: Database
    journal: Journal
    sealer: Sealer
    clock: Clock
    kept: int = KEPT
    """Releases of an application instance that are kept."""
