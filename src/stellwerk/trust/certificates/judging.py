"""Whether a presented certificate is good, and whose it is: decided on every request, from memory.

TLS has proved that the peer holds the key and that a trusted root signed; the rest is decided here, where it
can be answered with a reason: an open connection outlives both expiry and revocation.
"""

from dataclasses import dataclass
from enum import StrEnum

from stellwerk.trust.certificates.facts import CertificateFacts
from stellwerk.trust.certificates.record import LIVE, Record, State


class Code(StrEnum):
    """Why a certificate or its token is refused; the code that the agent acts on."""

    UNKNOWN = "agent.unknown"
    """Never issued here, or forgotten: register again."""
    REVOKED = "agent.revoked"
    """Stop, and do not come back. Forbidden (403); all others are 401."""
    EXPIRED = "agent.certificate.expired"
    SUPERSEDED = "agent.certificate.superseded"
    NOT_YET_VALID = "agent.certificate.not_yet_valid"
    INVALID = "agent.certificate.invalid"
    """No certificate of an agent at all."""
    TOKEN_INVALID = "agent.token.invalid"  # noqa: S105 - a code
    TOKEN_EXPIRED = "agent.token.expired"  # noqa: S105 - a code


DETAILS = {
    Code.UNKNOWN: "This certificate is not known here; register again with a new token",
    Code.REVOKED: "This agent was removed; it must not come back",
    Code.EXPIRED: "The certificate has expired; register again with a new token",
    Code.SUPERSEDED: "A newer certificate of this agent is in use; use that one",
    Code.NOT_YET_VALID: "The certificate is not valid yet; compare the clocks",
    Code.INVALID: "That is no certificate of an agent",
    Code.TOKEN_INVALID: "The token does not belong to this certificate, or was not issued here",
    Code.TOKEN_EXPIRED: "The token has expired; ask for a new one",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A certificate or token that is not good."""

    code: Code
    agent_id: str | None = None
    """Whom it claims or claimed to be; for the journal, not proved."""
    serial: str | None = None

    @property
    def detail(self) -> str:
        """What would help, for the caller."""
        return DETAILS[self.code]


@dataclass(frozen=True, slots=True)
class Identity:
    """An agent that was recognised by its certificate."""

    agent_id: str
    serial: str
    thumbprint: str
    not_before: int
    not_after: int
    state: State
    """*issued* means that it has not been used before."""
    expired: bool = False
    """Only where renewing after the end is asked for and allowed: it may be renewed and nothing else."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about judging; microseconds."""

    superseded_grace_us: int
    renew_after_expiry_us: int


def judge(
    facts: CertificateFacts, record: Record | None, now_us: int, rules: Rules, *, renewing: bool = False
) -> Identity | Refused:
    """Decide whom a certificate stands for. `renewing` admits an expired one where the rules allow it."""
    code = _fault(facts, record, now_us, rules)
    if record is None or (code is not None and not (renewing and code is Code.EXPIRED)):
        return Refused(code or Code.UNKNOWN, facts.agent_id, facts.serial)
    if code is Code.EXPIRED and (
        record.state not in LIVE or facts.not_after + rules.renew_after_expiry_us <= now_us
    ):
        return Refused(code, facts.agent_id, facts.serial)
    return Identity(
        agent_id=record.agent_id,
        serial=record.serial,
        thumbprint=facts.thumbprint,
        not_before=facts.not_before,
        not_after=facts.not_after,
        state=record.state,
        expired=code is Code.EXPIRED,
    )


def _fault(facts: CertificateFacts, record: Record | None, now_us: int, rules: Rules) -> Code | None:
    expired = facts.not_after <= now_us
    if record is None:
        # Whoever comes back after the record has gone learns what it can act on: its end.
        return Code.EXPIRED if expired else Code.UNKNOWN
    if record.thumbprint != facts.thumbprint or record.agent_id != facts.agent_id:
        return Code.UNKNOWN
    if record.state is State.REVOKED:
        return Code.REVOKED
    if is_long_superseded(record, now_us, rules):
        return Code.SUPERSEDED
    if expired:
        return Code.EXPIRED
    return Code.NOT_YET_VALID if facts.not_before > now_us else None


def is_long_superseded(record: Record, now_us: int, rules: Rules) -> bool:
    """Tell whether the grace of a superseded certificate is over."""
    return record.superseded_at is not None and record.superseded_at + rules.superseded_grace_us <= now_us
