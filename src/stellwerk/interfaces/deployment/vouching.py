"""Standing in for agents that have fallen silent: what they do is not given up before its time.

Theory of operation. A running lease ends after `work.lease_s` without a sign of life. A machine that
restarts, or whose network is away, takes longer than that to be called offline, and then gets
`fleet.offline_grace_s` more. While that lasts its leases are renewed from here; afterwards they end by the
clock. An agent that speaks decides itself which of its leases go on. The pass takes no input: it looks afresh
each time, so it does not matter which replica takes it, or whether one is missed.
"""

import structlog

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.interfaces.deployment.holding import holder_of
from stellwerk.loop import Loop
from stellwerk.work.service import Work

EVERY_S = 5.0
"""Well below the shortest lease that makes sense, and a silent fleet is looked through in microseconds."""

log = structlog.get_logger(__name__)


class Vouching:
    """See the module. Start and stop are idempotent."""

    def __init__(self, deployments: Deployments, work: Work, lease_s: float) -> None:
        self._deployments = deployments
        self._work = work
        self._lease_s = lease_s
        self._every_s = min(EVERY_S, lease_s / 6)
        self.loop = Loop("deployment.vouching", self._run)

    async def start(self) -> None:
        """Begin to look."""
        self.loop.start()

    async def stop(self) -> None:
        """Look no more."""
        await self.loop.stop()

    async def vouch(self) -> None:
        """Renew the leases of all who are silent and not given up; tests call it instead of waiting."""
        for agent in self._deployments.excused(self._lease_s):
            await self._work.heartbeat(holder_of(agent))

    async def _run(self) -> None:
        while await self.loop.rest(self._every_s):
            try:
                await self.vouch()
            except DatabaseUnavailable as error:
                log.warning("leases of silent agents are not renewed now", detail=error.detail)
