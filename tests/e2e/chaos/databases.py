"""PostgreSQL restarted, and failed over to its standby."""

import random
from pathlib import Path

from e2e.chaos.faults import Fault, kill_backend, restart_postgres
from e2e.chaos.sites import ReplicatedSite
from support.standby import Pair


class PairedSite(ReplicatedSite):
    """Replicas that know two servers by name; the primary is whichever says so."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        super().__init__(folder, pair.primary, pair.url())
        self.pair = pair

    def fail_over(self) -> None:
        """Lose the primary with every process of it; the standby takes its place."""
        self.pair.fail_over()
        self.postgres = self.pair.primary


def fail_over(site: PairedSite, chance: random.Random) -> None:
    """Lose the primary."""
    site.fail_over()


FAULTS = (
    Fault("failover to the standby", fail_over, 2),
    Fault("immediate restart", restart_postgres, 1, kills=0),
    Fault("backend of PostgreSQL", kill_backend, 1),
)
