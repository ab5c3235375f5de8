"""The background pass of trust: files looked at again, roots retired, old records removed.

It takes no input and holds no lock: each step may be done twice, by two replicas even, and changes nothing
the second time.
"""

import contextlib
from collections.abc import Callable
from functools import partial

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.loop import Loop
from stellwerk.settings import TrustSettings
from stellwerk.trust.authority.roots import RootUnusable
from stellwerk.trust.certificates import store as certificates
from stellwerk.trust.certificates.authorities import Authorities
from stellwerk.trust.certificates.table import CertificateTable
from stellwerk.trust.enrolment import store as tokens

EVERY_S = 5.0
"""Within it a root that another replica added is trusted; it signs a minute after that."""
REMOVE_EVERY_US = 600 * MICROSECONDS
STEP = 500
DAY_US = 86_400 * MICROSECONDS

log = structlog.get_logger(__name__)


class Upkeep:
    """Runs the pass until it is stopped."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        table: CertificateTable,
        settings: TrustSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._table = table
        self._settings = settings
        self._clock = clock
        self._removed_at = 0
        self._callbacks: list[Callable[[], None]] = []
        self.loop = Loop("trust.upkeep", self._run)

    async def start(self) -> None:
        """Begin; again is no error."""
        self.loop.start()

    async def stop(self) -> None:
        """End; again is no error."""
        await self.loop.stop()

    def on_changed(self, callback: Callable[[], None]) -> Unlisten:
        """Call back when roots or the server's certificate have changed."""
        self._callbacks.append(callback)

        def unlisten() -> None:
            with contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return unlisten

    def changed(self) -> None:
        """Tell those who asked that roots or the server's certificate have changed."""
        for callback in list(self._callbacks):
            callback()

    async def work(self) -> None:
        """Do one pass. Raises DatabaseUnavailable, OSError, RootUnusable."""
        now_us = self._clock.now_us()
        changed = await self._authorities.refresh()
        retired = await self._authorities.retire()
        for root in retired:
            log.info("root retired", fingerprint=root.fingerprint)
        if changed or retired:
            self.changed()
        self._table.forget(now_us - int(self._settings.renew_after_expiry_s * MICROSECONDS))
        if self._removed_at + REMOVE_EVERY_US <= now_us:
            self._removed_at = now_us
            await self._remove(now_us - int(self._settings.certificate_days * DAY_US))

    async def _remove(self, before: int) -> None:
        for remove in (certificates.remove_ended, tokens.remove_tokens):
            while await self._database.write(partial(remove, before, STEP)) == STEP:
                pass

    async def _run(self) -> None:
        while await self.loop.rest(EVERY_S):
            try:
                await self.work()
            except DatabaseUnavailable as error:
                log.warning("trust upkeep waits for the database", detail=error.detail)
            except (OSError, RootUnusable) as error:
                log.warning("trust upkeep waits for the files of the authority", error=str(error))
