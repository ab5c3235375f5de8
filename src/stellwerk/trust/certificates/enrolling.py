"""Admitting an agent: token, agent and intent in one transaction, then the certificate."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.settings import TrustSettings
from stellwerk.trust.certificates import store
from stellwerk.trust.certificates.issuing import (
    Intent,
    Issuing,
    KeyOffer,
    Signed,
    intend,
    intend_again,
    offer_key,
    public_key_hash,
)
from stellwerk.trust.certificates.renewing import Mint, Repeat
from stellwerk.trust.enrolment.redemption import examine, redeem
from stellwerk.trust.enrolment.tokens import Admission, Application, Reason, TokenRefused, hash_token

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Admitted(Generic[T]):
    """An agent that was admitted, and its certificate."""

    admission: Admission
    signed: Signed
    offer: KeyOffer
    created: T
    """What the caller's unit returned."""


class _Outrun(Exception):
    """The same token and key were redeemed by another request between looking and burning."""


class Enrolling:
    """Redeems tokens for agents with certificates."""

    def __init__(self, database: Database, issuing: Issuing, settings: TrustSettings, clock: Clock) -> None:
        self._database = database
        self._issuing = issuing
        self._settings = settings
        self._clock = clock

    async def enrol(
        self,
        token: str,
        application: Application,
        csr: str | None,
        create: Callable[[Admission], Unit[T]],
    ) -> Admitted[T]:
        """See `Identities.enrol`."""
        hashed, key_hash = hash_token(token), public_key_hash(csr)
        for _ in range(2):
            # Looked at before a key is made: whoever guesses tokens costs a read and nothing else.
            expected = await self._database.read(
                partial(examine, hashed, application, str(uuid.uuid4()), key_hash, self._clock.now_us())
            )
            offer = offer_key(csr, make=self._settings.server_keys)
            try:
                return await self._admit(hashed, application, expected, offer, create)
            except _Outrun:
                continue
        raise TokenRefused(Reason.USED, "The registration token is being used by another request")

    async def _admit(
        self,
        token_hash: str,
        application: Application,
        expected: Admission,
        offer: KeyOffer,
        create: Callable[[Admission], Unit[T]],
    ) -> Admitted[T]:
        now_us, agent_id = self._clock.now_us(), expected.agent_id
        intent = self._issuing.prepare(offer.public, agent_id, now_us)
        key_hash = offer.hash if offer.private_pem is None else None

        def unit() -> Unit[tuple[Admission, T, Repeat | Mint]]:
            admission = yield from redeem(token_hash, application, agent_id, key_hash, now_us)
            if admission.agent_id != agent_id:
                raise _Outrun
            created = yield from create(admission)
            if admission.repeated:
                return admission, created, (yield from intend_again(intent.record))
            yield from intend(intent.record)
            return admission, created, Mint()

        admission, created, plan = await self._database.write(unit)
        return Admitted(admission, await self._signed(intent, plan), offer, created)

    async def _signed(self, intent: Intent, plan: Repeat | Mint) -> Signed:
        if isinstance(plan, Repeat):
            waiting = await self._database.read(lambda: store.read_waiting(plan.serial))
            if waiting is None:  # Used in this moment, so the answer has arrived after all.
                raise TokenRefused(Reason.USED, "The registration token was used")
            return Signed(waiting[1], waiting[0])
        return await self._issuing.finish(intent, self._clock.now_us())
