"""Registration tokens and the admission of agents, on both engines."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Sql, Unit
from stellwerk.settings import TrustSettings
from stellwerk.trust.authority.requests import RequestRefused
from stellwerk.trust.certificates.issuing import Intent, Issuing, RevokedMeanwhile, ServerKeysDenied, Signed
from stellwerk.trust.certificates.judging import Identity
from stellwerk.trust.enrolment.tokens import (
    Admission,
    Application,
    InvalidToken,
    Reason,
    TokenRefused,
    TokenScope,
    UnknownToken,
    write_token,
)
from stellwerk.trust.principal import LOCAL
from support.agents import Replica, der_of, make_key, request_for, write_nothing
from support.clock import FakeClock

ME = Application("agent-1", ("docker",), {"role": "edge", "site": "x"})


@pytest.fixture
async def replica(database: Database, tmp_path: Path) -> AsyncIterator[Replica]:
    replica = await Replica(database, tmp_path / "replica", FakeClock()).start()
    yield replica
    await replica.stop()


async def certificates(database: Database) -> int:
    def unit() -> Unit[int]:
        return int((yield Sql("SELECT count(*) FROM certificates"))[0][0])

    return await database.read(unit)


async def refusal(replica: Replica, token: str, application: Application = ME) -> Reason:
    with pytest.raises(TokenRefused) as refused:
        await replica.identities.enrol(token, application, request_for(make_key()), write_nothing)
    return refused.value.reason


async def test_a_token_admits_an_agent_with_the_labels_that_it_forces(replica: Replica) -> None:
    token = await replica.token(name="agent-1", labels={"site": "berlin"})
    enrolled = await replica.identities.enrol(token, ME, request_for(make_key()), write_nothing)
    assert enrolled.admission.labels == {"role": "edge", "site": "berlin"}
    assert enrolled.issued.key is None
    found = await replica.identities.identify(der_of(enrolled.issued))
    assert isinstance(found, Identity)
    assert found.agent_id == enrolled.admission.agent_id == enrolled.issued.agent_id
    assert await replica.kinds("registration_token") == [
        "registration_token.created",
        "registration_token.redeemed",
    ]


async def test_the_text_of_a_token_is_neither_listed_nor_journalled_nor_stored(
    replica: Replica, database: Database
) -> None:
    token = await replica.token()
    listed = await replica.identities.tokens.list()
    events = (await replica.journal.page()).events

    def unit() -> Unit[str]:
        return repr((yield Sql("SELECT * FROM registration_tokens")))

    assert token not in repr(listed) + repr(events) + await database.read(unit)


async def test_a_token_admits_once(replica: Replica) -> None:
    token = await replica.token()
    await replica.identities.enrol(token, ME, request_for(make_key()), write_nothing)
    assert await refusal(replica, token) is Reason.USED


async def test_unknown_expired_and_revoked_tokens_are_told_apart(replica: Replica) -> None:
    expired = await replica.token()
    revoked = await replica.identities.tokens.create(TokenScope(), 300, LOCAL)
    await replica.identities.tokens.revoke(revoked.record.token_id, LOCAL)
    assert await refusal(replica, revoked.token) is Reason.REVOKED
    assert await refusal(replica, write_token(bytes(32))) is Reason.INVALID
    assert await refusal(replica, expired[:-1]) is Reason.INVALID
    replica.clock.advance(86_400)
    assert await refusal(replica, expired) is Reason.EXPIRED


async def test_a_refused_request_burns_nothing_and_issues_nothing(
    replica: Replica, database: Database
) -> None:
    token = await replica.token(name="agent-1", capabilities=("docker",))

    class NameTaken(Exception):
        pass

    def taken(_: Admission) -> Unit[None]:
        yield Sql("SELECT 1")
        raise NameTaken

    assert await refusal(replica, token, Application("agent-2")) is Reason.SCOPE
    assert await refusal(replica, token, Application("agent-1", ("docker", "ssh"))) is Reason.SCOPE
    with pytest.raises(RequestRefused):
        await replica.identities.enrol(token, ME, "-----BEGIN", write_nothing)
    with pytest.raises(NameTaken):
        await replica.identities.enrol(token, ME, request_for(make_key()), taken)
    assert await certificates(database) == 0
    assert [one.used_at for one in await replica.identities.tokens.list()] == [None]
    assert await replica.kinds("registration_token") == ["registration_token.created"]
    await replica.identities.enrol(token, ME, request_for(make_key()), write_nothing)


async def test_a_lost_answer_is_repeated_for_the_same_key_while_the_token_lives(replica: Replica) -> None:
    token, csr = await replica.token(), request_for(make_key())
    first = await replica.identities.enrol(token, ME, csr, write_nothing)
    replica.clock.advance(60)
    second = await replica.identities.enrol(token, ME, csr, write_nothing)
    assert (first.admission.repeated, second.admission.repeated) == (False, True)
    assert second.issued == first.issued
    assert await refusal(replica, token) is Reason.USED
    replica.clock.advance(86_400)
    with pytest.raises(TokenRefused) as refused:
        await replica.identities.enrol(token, ME, csr, write_nothing)
    assert refused.value.reason is Reason.USED


async def test_a_repeated_registration_gets_a_new_certificate_when_the_first_was_used(
    replica: Replica,
) -> None:
    token, csr = await replica.token(), request_for(make_key())
    first = await replica.identities.enrol(token, ME, csr, write_nothing)
    await replica.identities.identify(der_of(first.issued))
    second = await replica.identities.enrol(token, ME, csr, write_nothing)
    assert second.issued.agent_id == first.issued.agent_id
    assert second.issued.serial != first.issued.serial


async def test_a_revoked_agent_does_not_come_back_with_its_old_token(replica: Replica) -> None:
    token, csr = await replica.token(), request_for(make_key())
    first = await replica.identities.enrol(token, ME, csr, write_nothing)
    await replica.identities.revoke(first.issued.agent_id, "deleted", LOCAL)
    with pytest.raises(TokenRefused) as refused:
        await replica.identities.enrol(token, ME, csr, write_nothing)
    assert refused.value.reason is Reason.USED


async def test_a_revocation_between_intent_and_result_hands_out_nothing(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Issuing.finish

    async def finish_late(self: Issuing, intent: Intent, now_us: int) -> Signed:
        await replica.identities.revoke(intent.record.agent_id, "deleted", LOCAL)
        return await finish(self, intent, now_us)

    monkeypatch.setattr(Issuing, "finish", finish_late)
    with pytest.raises(RevokedMeanwhile):
        await replica.admit()


async def test_a_crash_between_intent_and_result_is_healed_by_repeating(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, csr = await replica.token(), request_for(make_key())

    async def crash(self: Issuing, intent: Intent, now_us: int) -> Signed:
        raise DatabaseUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(Issuing, "finish", crash)
        with pytest.raises(DatabaseUnavailable):
            await replica.identities.enrol(token, ME, csr, write_nothing)
    again = await replica.identities.enrol(token, ME, csr, write_nothing)
    assert again.admission.repeated
    assert isinstance(await replica.identities.identify(der_of(again.issued)), Identity)


async def test_of_concurrent_redemptions_of_one_token_one_is_admitted(
    replica: Replica, database: Database
) -> None:
    token = await replica.token()
    results = await asyncio.gather(
        *(replica.identities.enrol(token, ME, request_for(make_key()), write_nothing) for _ in range(12)),
        return_exceptions=True,
    )
    admitted = [one for one in results if not isinstance(one, BaseException)]
    refused = [one.reason for one in results if isinstance(one, TokenRefused)]
    assert (len(admitted), refused) == (1, [Reason.USED] * 11)
    assert await certificates(database) == 1


async def test_concurrent_repetitions_of_one_registration_make_one_agent(replica: Replica) -> None:
    token, csr = await replica.token(), request_for(make_key())
    results = await asyncio.gather(
        *(replica.identities.enrol(token, ME, csr, write_nothing) for _ in range(6)),
        return_exceptions=True,
    )
    admitted = [one for one in results if not isinstance(one, BaseException)]
    assert len(admitted) == 6
    assert len({one.issued.agent_id for one in admitted}) == 1
    assert sum(not one.admission.repeated for one in admitted) == 1


async def test_an_agent_without_a_csr_gets_a_key_once_unless_that_is_switched_off(
    replica: Replica, database: Database, tmp_path: Path
) -> None:
    enrolled = await replica.identities.enrol(await replica.token(), ME, None, write_nothing)
    assert enrolled.issued.key is not None
    assert enrolled.issued.key not in repr(enrolled)
    private = load_pem_private_key(enrolled.issued.key.encode(), None)
    certificate = x509.load_pem_x509_certificate(enrolled.issued.certificate.encode())
    assert private.public_key() == certificate.public_key()
    strict = Replica(
        database,
        tmp_path / "strict",
        replica.clock,
        TrustSettings(authority_dir=replica.settings.authority_dir, server_keys=False),
    )
    await strict.start()
    token = await strict.token()
    with pytest.raises(ServerKeysDenied):
        await strict.identities.enrol(token, ME, None, write_nothing)
    await strict.identities.enrol(token, ME, request_for(make_key()), write_nothing)
    await strict.stop()


@pytest.mark.parametrize(
    ("scope", "ttl_s"),
    [
        (TokenScope(), 299),
        (TokenScope(), 86_401),
        (TokenScope(), float("nan")),
        (TokenScope(name="Agent 1"), 600),
        (TokenScope(labels={"": "x"}), 600),
        (TokenScope(capabilities=("",)), 600),
    ],
)
async def test_a_token_that_does_not_fit_is_not_made(
    replica: Replica, scope: TokenScope, ttl_s: float
) -> None:
    with pytest.raises(InvalidToken):
        await replica.identities.tokens.create(scope, ttl_s, LOCAL)
    assert await replica.identities.tokens.list() == []


async def test_revoking_a_token_again_changes_nothing_and_an_unknown_one_is_unknown(
    replica: Replica,
) -> None:
    created = await replica.identities.tokens.create(TokenScope(), 300, LOCAL)
    first = await replica.identities.tokens.revoke(created.record.token_id, LOCAL)
    replica.clock.advance(1)
    assert await replica.identities.tokens.revoke(created.record.token_id, LOCAL) == first
    with pytest.raises(UnknownToken):
        await replica.identities.tokens.revoke("nobody", LOCAL)
    assert await replica.kinds("registration_token") == [
        "registration_token.created",
        "registration_token.revoked",
    ]


async def test_tokens_are_removed_a_while_after_their_end(replica: Replica) -> None:
    await replica.token()
    replica.clock.advance(20 * 86_400)
    await replica.identities.upkeep()
    assert len(await replica.identities.tokens.list()) == 1
    replica.clock.advance(12 * 86_400)
    await replica.identities.upkeep()
    assert await replica.identities.tokens.list() == []
