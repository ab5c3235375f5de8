"""Redeeming a registration token: the one unit that decides and burns.

It belongs into the transaction that creates the agent. Whatever is refused after it in the same unit undoes
the burning too, so a refused request costs no token. The same token with the same key again is the same
registration whose answer was lost; that needs a CSR, because a key made here could only be given out twice.
"""

import msgspec

from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append
from stellwerk.trust.enrolment import store
from stellwerk.trust.enrolment.tokens import (
    Admission,
    Application,
    Reason,
    RegistrationToken,
    TokenRefused,
    check_scope,
)

_REVOKED = "SELECT 1 FROM certificates WHERE agent_id = $1 AND state = 'revoked' LIMIT 1"


def redeem(
    token_hash: str, application: Application, agent_id: str, key_hash: str | None, now_us: int
) -> Unit[Admission]:
    """Use the token up for a new agent, or recognise the registration that it made before.

    `key_hash` is that of the CSR's key, None without one. Raises TokenRefused.
    """
    burnt = yield from store.burn_token(token_hash, agent_id, key_hash, now_us)
    if burnt is not None:
        admission = _admit(burnt, application, agent_id, repeated=False)
        yield from append(_redeemed(burnt, agent_id), now_us)
        return admission
    return (yield from _repeat(token_hash, application, key_hash, now_us))


def examine(
    token_hash: str, application: Application, agent_id: str, key_hash: str | None, now_us: int
) -> Unit[Admission]:
    """Answer as `redeem` would, changing nothing: floods of bad tokens never reach the writer."""
    found = yield from store.find_token(token_hash)
    if found is not None and _refusal(found[0], now_us) is None:
        return _admit(found[0], application, agent_id, repeated=False)
    return (yield from _repeat(token_hash, application, key_hash, now_us))


def _repeat(token_hash: str, application: Application, key_hash: str | None, now_us: int) -> Unit[Admission]:
    found = yield from store.find_token(token_hash)
    if found is None:
        raise TokenRefused(Reason.INVALID, "The registration token is unknown")
    record, used_key = found
    refusal = _refusal(record, now_us)
    if refusal is None:  # It was free a moment ago, burnt by somebody who was then undone.
        raise TokenRefused(Reason.USED, "The registration token is being used; try again")
    in_time = record.revoked_at is None and record.expires_at > now_us
    if record.used_by is None or key_hash is None or key_hash != used_key or not in_time:
        raise refusal
    if (yield Sql(_REVOKED, (record.used_by,))):
        raise refusal  # Who was sent away does not come back with an old token.
    return _admit(record, application, record.used_by, repeated=True)


def _admit(
    record: RegistrationToken, application: Application, agent_id: str, *, repeated: bool
) -> Admission:
    return Admission(
        agent_id=agent_id,
        repeated=repeated,
        labels=check_scope(record.scope, application),
        replaces=record.scope.replaces,
        token_id=record.token_id,
        created_by=record.created_by,
        capabilities=record.scope.capabilities,
    )


def _refusal(record: RegistrationToken, now_us: int) -> TokenRefused | None:
    if record.revoked_at is not None:
        return TokenRefused(Reason.REVOKED, "The registration token was revoked")
    if record.used_at is not None:
        return TokenRefused(Reason.USED, "The registration token was used; it admits one agent")
    if record.expires_at <= now_us:
        return TokenRefused(Reason.EXPIRED, "The registration token has expired")
    return None


def _redeemed(record: RegistrationToken, agent_id: str) -> Event:
    data = msgspec.json.encode({"tokenId": record.token_id, "agentId": agent_id}).decode()
    return Event("registration_token.redeemed", Retention.AUDIT, principal=record.created_by, data=data)
