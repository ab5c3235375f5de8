"""Telling whom a certificate stands for, on every request.

The common path is a look into memory. Three things go to the database: the first use of a certificate, a
serial that is not in memory (issued by another replica a moment ago, or ended long ago), and the note that a
long superseded one was shown.
"""

from functools import lru_cache

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.journal.service import Journal
from stellwerk.trust.certificates import changing, store
from stellwerk.trust.certificates.facts import CertificateFacts, read_certificate
from stellwerk.trust.certificates.following import Following
from stellwerk.trust.certificates.judging import (
    Code,
    Identity,
    Refused,
    Rules,
    is_long_superseded,
    judge,
)
from stellwerk.trust.certificates.record import Record, State
from stellwerk.trust.certificates.table import CertificateTable
from stellwerk.trust.certificates.tickets import Ticket

PARSED = 20_000
"""Certificates whose text need not be read again: a fleet of connected agents."""
LOOKED_UP_US = 5 * MICROSECONDS
"""A serial that is not live is looked for at most this often."""
LOOKED_UP = 10_000

log = structlog.get_logger(__name__)


class Recognition:
    """Recognises agents."""

    def __init__(
        self, database: Database, journal: Journal, following: Following, rules: Rules, clock: Clock
    ) -> None:
        self._database = database
        self._journal = journal
        self._following = following
        self._table: CertificateTable = following.table
        self._rules = rules
        self._clock = clock
        self._read = lru_cache(PARSED)(read_certificate)
        self._looked_up: dict[str, tuple[int, Record | None]] = {}

    async def identify(
        self, certificate: bytes, *, renewing: bool = False, connected_at: int | None = None
    ) -> Identity | Refused:
        """See `Identities.identify`."""
        facts = self._read(certificate)
        if facts is None:
            return Refused(Code.INVALID)
        now_us = self._clock.now_us()
        record = self._table.get(facts.serial) or await self._look_up(facts.serial, now_us)
        found = judge(facts, record, now_us, self._rules, renewing=renewing)
        if isinstance(found, Identity):
            if found.state is State.ISSUED and not found.expired:
                return await self._use_first(facts, now_us)
            return found
        if found.code is Code.SUPERSEDED and record is not None:
            await self._suspect(record, now_us if connected_at is None else connected_at)
        return found

    def still_valid(self, identity: Identity) -> Refused | None:
        """See `Identities.still_valid`."""
        facts = CertificateFacts(
            identity.serial, identity.agent_id, identity.thumbprint, identity.not_before, identity.not_after
        )
        found = judge(facts, self._table.get(identity.serial), self._clock.now_us(), self._rules)
        return found if isinstance(found, Refused) else None

    def accompany(self, identity: Identity, ticket: Ticket) -> Identity | Refused:
        """Judge a token beside the certificate that was recognised.

        It is bound to that certificate, or to another good one of the same agent: right after a renewal the
        token is still the older certificate's.
        """
        if ticket.agent_id == identity.agent_id:
            if ticket.thumbprint == identity.thumbprint:
                return identity
            bound = self._table.get(ticket.serial)
            if bound is not None and bound.thumbprint == ticket.thumbprint and self._is_good(bound):
                return identity
        return Refused(Code.TOKEN_INVALID, identity.agent_id, identity.serial)

    def _is_good(self, record: Record) -> bool:
        now_us = self._clock.now_us()
        if record.state is State.REVOKED or record.not_after <= now_us:
            return False
        return not is_long_superseded(record, now_us, self._rules)

    async def _use_first(self, facts: CertificateFacts, now_us: int) -> Identity | Refused:
        changed = await self._database.write(lambda: changing.activate(facts.serial, facts.agent_id, now_us))
        if changed:
            self._journal.committed()
            await self._following.committed(changed)
        else:  # Another request, or another replica, has changed it first.
            record = await self._database.read(lambda: store.read_one(facts.serial))
            self._following.take([record] if record else [])
        return judge(facts, self._table.get(facts.serial), now_us, self._rules)

    async def _look_up(self, serial: str, now_us: int) -> Record | None:
        known = self._looked_up.get(serial)
        if known is not None and known[0] > now_us:
            return known[1]
        record = await self._database.read(lambda: store.read_one(serial))
        if record is not None and record.state is not State.INTENDED:
            self._following.take([record])
        if self._table.get(serial) is None:
            if len(self._looked_up) >= LOOKED_UP:
                self._looked_up.clear()
            self._looked_up[serial] = now_us + LOOKED_UP_US, record
        return record

    async def _suspect(self, record: Record, connected_at: int) -> None:
        """Note a clone; who was connected before the grace ended is only late."""
        now_us = self._clock.now_us()
        if not is_long_superseded(record, connected_at, self._rules):
            return
        if record.cloned_at is not None and record.cloned_at + changing.CLONE_PAUSE_US > now_us:
            return
        try:
            changed = await self._database.write(
                lambda: changing.suspect(record.serial, record.agent_id, now_us)
            )
        except DatabaseUnavailable as error:
            # The refusal stands without the note; the next one that is shown tries again.
            log.warning("a clone is not recorded", agent=record.agent_id, detail=error.detail)
            return
        self._journal.committed()
        await self._following.committed(changed)
