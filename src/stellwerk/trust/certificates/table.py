"""The live certificates in memory, so that recognising an agent costs no query.

A record stays until its certificate has ended (and can no longer be renewed). Readings may arrive in any
order: states only move forward, so the newer of two is known (`record.newer`).
"""

from collections.abc import Iterable

from stellwerk.trust.certificates.record import LIVE, Record, State, newer


class CertificateTable:
    """Records by serial and by agent."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._serials: dict[str, set[str]] = {}
        self.version = 0
        """Grows with every change."""

    def __len__(self) -> int:
        return len(self._records)

    def get(self, serial: str) -> Record | None:
        """Return the record of a serial; None if it is not live."""
        return self._records.get(serial)

    def of_agent(self, agent_id: str) -> list[Record]:
        """Return the agent's live records."""
        return [self._records[serial] for serial in self._serials.get(agent_id, ())]

    def revoked(self) -> list[Record]:
        """Return the revoked records that have not ended."""
        return [record for record in self._records.values() if record.state is State.REVOKED]

    def superseded(self) -> list[Record]:
        """Return the superseded records that have not ended."""
        return [record for record in self._records.values() if record.state is State.SUPERSEDED]

    def roots(self) -> set[str]:
        """Return the roots of certificates that agents go on with."""
        return {record.root for record in self._records.values() if record.state in LIVE}

    def take(self, records: Iterable[Record]) -> set[str]:
        """Take readings in; return the agents of which a certificate has been revoked by them."""
        revoked = set()
        for record in records:
            known = self._records.get(record.serial)
            latest = newer(known, record)
            if latest == known:
                continue
            self._records[record.serial] = latest
            self._serials.setdefault(record.agent_id, set()).add(record.serial)
            self.version += 1
            if latest.state is State.REVOKED and (known is None or known.state is not State.REVOKED):
                revoked.add(record.agent_id)
        return revoked

    def forget(self, ended_before: int) -> None:
        """Drop what ended before the instant."""
        for record in [one for one in self._records.values() if one.not_after < ended_before]:
            del self._records[record.serial]
            serials = self._serials[record.agent_id]
            serials.discard(record.serial)
            if not serials:
                del self._serials[record.agent_id]
            self.version += 1
