"""Certificates of agents through their lives, on both engines and in two replicas of one of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from stellwerk.database.database import Database, open_database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.settings import DatabaseSettings, TrustSettings
from stellwerk.trust.authority.authority import RotationUnderWay
from stellwerk.trust.authority.requests import RequestRefused
from stellwerk.trust.certificates.authorities import UnknownAuthority
from stellwerk.trust.certificates.issuing import Intent, Issuing, Signed
from stellwerk.trust.certificates.judging import Code, Identity, Refused
from stellwerk.trust.certificates.record import State
from stellwerk.trust.certificates.service import Issued
from stellwerk.trust.principal import LOCAL
from support.agents import Replica, der_of, make_key, request_for
from support.clock import FakeClock

DAY = 86_400.0
DUE = DAY * 2 / 3
LIMIT_S = 5.0


@pytest.fixture
async def replica(database: Database, tmp_path: Path) -> AsyncIterator[Replica]:
    replica = await Replica(database, tmp_path / "replica", FakeClock()).start()
    yield replica
    await replica.stop()


async def accepted(replica: Replica, issued: Issued) -> Identity:
    found = await replica.identities.identify(der_of(issued))
    assert isinstance(found, Identity), found
    return found


async def refusal(replica: Replica, issued: Issued, connected_at: int | None = None) -> Code:
    found = await replica.identities.identify(der_of(issued), connected_at=connected_at)
    assert isinstance(found, Refused), found
    return found.code


async def renewed(replica: Replica, issued: Issued, csr: str | None = None) -> Issued:
    renewal = await replica.identities.renew(await accepted(replica, issued), csr or request_for(make_key()))
    assert renewal is not None
    return renewal


async def test_the_first_use_makes_a_certificate_active(replica: Replica) -> None:
    issued = await replica.admit()
    assert [one.state for one in await replica.identities.certificates(issued.agent_id)] == [State.ISSUED]
    assert (await accepted(replica, issued)).state is State.ACTIVE
    assert (await accepted(replica, issued)).state is State.ACTIVE
    assert await replica.kinds("certificate") == ["certificate.issued", "certificate.activated"]


async def test_a_renewal_is_made_after_two_thirds_with_a_csr_and_in_the_last_hour_without(
    replica: Replica,
) -> None:
    issued = await replica.admit()
    identity = await accepted(replica, issued)
    csr = request_for(make_key())
    replica.clock.advance(DUE - 120)
    assert await replica.identities.renew(identity, csr) is None
    replica.clock.advance(120)
    assert await replica.identities.renew(identity, None) is None
    asked = await replica.identities.renew(identity, csr)
    assert asked is not None
    replica.clock.advance(DAY - DUE - 3_600)
    unasked = await replica.identities.renew(identity, None)
    assert unasked is not None
    before, after = (x509.load_pem_x509_certificate(one.certificate.encode()) for one in (issued, unasked))
    assert before.public_key() == after.public_key()
    assert asked.ca == replica.identities.server_ca
    assert asked.key is None


async def test_a_renewal_is_repeated_until_it_is_used(replica: Replica) -> None:
    issued = await replica.admit()
    csr = request_for(make_key())
    replica.clock.advance(DUE)
    first = await renewed(replica, issued, csr)
    for _ in range(5):
        replica.clock.advance(30)
        assert await renewed(replica, issued, csr) == first
    identity = await accepted(replica, first)
    assert await replica.identities.renew(identity, csr) is None
    assert len(await replica.identities.certificates(issued.agent_id)) == 2


async def test_concurrent_renewals_mint_one_serial(replica: Replica) -> None:
    identity = await accepted(replica, await replica.admit())
    csr = request_for(make_key())
    replica.clock.advance(DUE)
    answers = await asyncio.gather(*(replica.identities.renew(identity, csr) for _ in range(8)))
    assert len({one.serial for one in answers if one is not None}) == 1
    assert len(await replica.identities.certificates(identity.agent_id)) == 2


async def test_new_keys_in_every_request_do_not_mint_a_serial_each(replica: Replica) -> None:
    identity = await accepted(replica, await replica.admit())
    replica.clock.advance(DUE)
    for _ in range(5):
        await replica.identities.renew(identity, request_for(make_key()))
    assert len(await replica.identities.certificates(identity.agent_id)) == 2


async def test_the_new_certificate_counts_from_its_first_use_and_the_old_one_five_minutes_more(
    replica: Replica,
) -> None:
    old = await replica.admit()
    replica.clock.advance(DUE)
    new = await renewed(replica, old)
    replica.clock.advance(3_600)
    assert (await accepted(replica, old)).state is State.ACTIVE
    assert (await accepted(replica, new)).state is State.ACTIVE
    replica.clock.advance(299)
    identity = await accepted(replica, old)
    assert identity.state is State.SUPERSEDED
    assert await replica.identities.renew(identity, request_for(make_key())) is None
    replica.clock.advance(1)
    assert await refusal(replica, old) is Code.SUPERSEDED
    still = replica.identities.still_valid(identity)
    assert still is not None
    assert still.code is Code.SUPERSEDED
    await accepted(replica, new)


async def test_an_agent_killed_between_receiving_and_storing_goes_on_with_the_old(replica: Replica) -> None:
    old = await replica.admit()
    replica.clock.advance(DUE)
    lost = await renewed(replica, old)
    replica.clock.advance(30)
    again = await renewed(replica, old)
    assert again.serial != lost.serial
    await accepted(replica, again)
    replica.clock.advance(301)
    assert await refusal(replica, lost) is Code.SUPERSEDED


async def test_a_server_killed_between_intent_and_answer_renews_at_the_next_try(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await replica.admit()
    identity = await accepted(replica, old)
    csr = request_for(make_key())
    replica.clock.advance(DUE)

    async def crash(self: Issuing, intent: Intent, now_us: int) -> Signed:
        raise DatabaseUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(Issuing, "finish", crash)
        with pytest.raises(DatabaseUnavailable):
            await replica.identities.renew(identity, csr)
    assert await replica.identities.renew(identity, csr) is None
    replica.clock.advance(30)
    await accepted(replica, await renewed(replica, old, csr))


async def test_an_expired_certificate_is_refused_also_for_renewing(replica: Replica) -> None:
    issued = await replica.admit()
    identity = await accepted(replica, issued)
    replica.clock.advance(DAY)
    assert await refusal(replica, issued) is Code.EXPIRED
    found = await replica.identities.identify(der_of(issued), renewing=True)
    assert isinstance(found, Refused)
    still = replica.identities.still_valid(identity)
    assert still is not None
    assert still.code is Code.EXPIRED
    await replica.identities.upkeep()
    assert await refusal(replica, issued) is Code.EXPIRED
    assert [one.state for one in await replica.identities.certificates(issued.agent_id)] == [State.EXPIRED]


async def test_an_expired_certificate_renews_where_that_is_allowed_and_does_nothing_else(
    database: Database, tmp_path: Path
) -> None:
    settings = TrustSettings(authority_dir=tmp_path / "a", renew_after_expiry_s=7_200)
    replica = await Replica(database, tmp_path, FakeClock(), settings).start()
    issued = await replica.admit()
    await accepted(replica, issued)
    replica.clock.advance(DAY + 7_199)
    await replica.identities.upkeep()
    assert await refusal(replica, issued) is Code.EXPIRED
    found = await replica.identities.identify(der_of(issued), renewing=True)
    assert isinstance(found, Identity)
    assert found.expired
    renewal = await replica.identities.renew(found, request_for(make_key()))
    assert renewal is not None
    await accepted(replica, renewal)
    late = await replica.admit()
    replica.clock.advance(DAY + 7_200)
    found = await replica.identities.identify(der_of(late), renewing=True)
    assert isinstance(found, Refused)
    await replica.stop()


async def test_a_revoked_agent_cannot_renew_after_its_end(database: Database, tmp_path: Path) -> None:
    settings = TrustSettings(authority_dir=tmp_path / "a", renew_after_expiry_s=7_200)
    replica = await Replica(database, tmp_path, FakeClock(), settings).start()
    issued = await replica.admit()
    replica.clock.advance(DAY + 60)
    await replica.identities.revoke(issued.agent_id, "deleted", LOCAL)
    found = await replica.identities.identify(der_of(issued), renewing=True)
    assert found == Refused(Code.REVOKED, issued.agent_id, issued.serial)
    await replica.stop()


async def test_a_long_superseded_certificate_is_a_sign_of_a_clone(replica: Replica) -> None:
    old = await replica.admit()
    began = replica.clock.now_us()
    replica.clock.advance(DUE)
    new = await renewed(replica, old)
    await accepted(replica, new)
    replica.clock.advance(600)
    # A connection that began before is late, no clone.
    assert await refusal(replica, old, connected_at=began) is Code.SUPERSEDED
    assert replica.identities.cloned_at(old.agent_id) is None
    for _ in range(3):
        assert await refusal(replica, old) is Code.SUPERSEDED
        replica.clock.advance(10)
    assert replica.identities.cloned_at(old.agent_id) == replica.clock.now_us() - 30_000_000
    assert (await replica.kinds("certificate")).count("certificate.clone_suspected") == 1
    await accepted(replica, new)


async def test_a_revocation_holds_at_once_is_told_once_and_leaves_others_alone(replica: Replica) -> None:
    gone, other = await replica.admit(), await replica.admit()
    identity = await accepted(replica, gone)
    told: list[str] = []
    unlisten = replica.identities.on_revoked(told.append)
    assert await replica.identities.revoke(gone.agent_id, "deleted", LOCAL) == 1
    assert await replica.identities.revoke(gone.agent_id, "deleted", LOCAL) == 0
    assert await refusal(replica, gone) is Code.REVOKED
    still = replica.identities.still_valid(identity)
    assert still is not None
    assert still.code is Code.REVOKED
    assert told == [gone.agent_id]
    unlisten()
    await accepted(replica, other)
    assert await replica.identities.renew(identity, None) is None
    replica.clock.advance(DUE)
    assert await replica.identities.renew(identity, request_for(make_key())) is None


async def test_the_revocation_lists_name_what_was_revoked_or_superseded(replica: Replica) -> None:
    gone, kept, old = await replica.admit(), await replica.admit(), await replica.admit()
    replica.clock.advance(DUE)
    new = await renewed(replica, old)
    await accepted(replica, new)
    await replica.identities.revoke(gone.agent_id, "deleted", LOCAL)
    replica.clock.advance(300)
    crl = x509.load_pem_x509_crl(replica.identities.crl().encode())
    root = x509.load_pem_x509_certificate(replica.identities.agent_ca.encode())
    assert crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]  # our roots are P-256
    listed = {f"{one.serial_number:x}" for one in crl}
    assert listed == {gone.serial, old.serial}
    assert kept.serial not in listed


@pytest.mark.parametrize(
    "harm",
    [
        lambda der: b"no certificate",
        lambda der: der[:-1] + bytes([der[-1] ^ 1]),
    ],
)
async def test_a_certificate_that_was_never_issued_is_refused(
    replica: Replica, harm: Callable[[bytes], bytes]
) -> None:
    issued = await replica.admit()
    found = await replica.identities.identify(harm(der_of(issued)))
    assert isinstance(found, Refused)
    assert found.code in (Code.INVALID, Code.UNKNOWN)


async def test_a_certificate_of_a_stolen_root_without_a_record_is_unknown(
    replica: Replica, database: Database, tmp_path: Path
) -> None:
    issuing = Issuing(database, lambda: replica.identities._authorities.agents, replica.settings)
    intent = issuing.prepare(make_key().public_key(), "agent-x", replica.clock.now_us())
    der = intent.prepared.sign().public_bytes(Encoding.DER)
    found = await replica.identities.identify(der)
    assert found == Refused(Code.UNKNOWN, "agent-x", intent.record.serial)


async def test_a_bad_csr_is_refused_and_changes_nothing(replica: Replica) -> None:
    issued = await replica.admit()
    replica.clock.advance(DUE)
    identity = await accepted(replica, issued)
    with pytest.raises(RequestRefused):
        await replica.identities.renew(identity, "-----BEGIN CERTIFICATE REQUEST-----")
    assert len(await replica.identities.certificates(issued.agent_id)) == 1


async def test_a_restart_knows_every_live_certificate(
    replica: Replica, database: Database, tmp_path: Path
) -> None:
    first, gone = await replica.admit(), await replica.admit()
    await accepted(replica, first)
    await replica.identities.revoke(gone.agent_id, "deleted", LOCAL)
    again = await Replica(database, tmp_path / "again", replica.clock, replica.settings).start()
    assert (await accepted(again, first)).state is State.ACTIVE
    assert await refusal(again, gone) is Code.REVOKED
    assert again.identities.agent_ca == replica.identities.agent_ca
    await again.stop()


async def test_a_token_serves_with_its_certificate_only(replica: Replica) -> None:
    one, other = await replica.admit(), await replica.admit()
    token, lifetime_s = replica.identities.ticket(await accepted(replica, one))
    assert lifetime_s == 3_600
    assert isinstance(await replica.identities.identify_ticket(token, der_of(one)), Identity)
    stolen = await replica.identities.identify_ticket(token, der_of(other))
    assert stolen == Refused(Code.TOKEN_INVALID, other.agent_id, other.serial)
    replica.clock.advance(3_610)
    late = await replica.identities.identify_ticket(token, der_of(one))
    assert late == Refused(Code.TOKEN_EXPIRED)


async def test_a_token_outlives_the_renewal_of_its_certificate_by_the_grace(replica: Replica) -> None:
    old = await replica.admit()
    replica.clock.advance(DUE)
    token, _ = replica.identities.ticket(await accepted(replica, old))
    new = await renewed(replica, old)
    assert isinstance(await replica.identities.identify_ticket(token, der_of(new)), Identity)
    replica.clock.advance(299)
    assert isinstance(await replica.identities.identify_ticket(token, der_of(new)), Identity)
    replica.clock.advance(2)
    assert isinstance(await replica.identities.identify_ticket(token, der_of(new)), Refused)


async def test_records_are_removed_a_while_after_their_end(replica: Replica) -> None:
    issued = await replica.admit()
    replica.clock.advance(32 * DAY)
    await replica.identities.upkeep()
    assert await replica.identities.certificates(issued.agent_id) == []
    assert await refusal(replica, issued) is Code.EXPIRED


async def test_a_rotation_of_the_agents_root_loses_no_agent(replica: Replica) -> None:
    agents = [await replica.admit() for _ in range(3)]
    for agent in agents:
        await accepted(replica, agent)
    changes: list[int] = []
    replica.identities.on_trust_changed(lambda: changes.append(1))
    await replica.identities.rotate("agents", LOCAL)
    assert changes == [1]
    with pytest.raises(RotationUnderWay):
        await replica.identities.rotate("agents", LOCAL)
    assert replica.identities.agent_ca.count("BEGIN CERTIFICATE") == 2
    crls = replica.identities.crl()
    assert crls.count("BEGIN X509 CRL") == 2
    replica.clock.advance(DUE)
    following = []
    for agent in agents:
        await replica.identities.upkeep()
        await accepted(replica, agent)
        following.append(await renewed(replica, agent))
    for agent in following:
        await accepted(replica, agent)
    replica.clock.advance(DAY - DUE + 1)
    await replica.identities.upkeep()
    assert replica.identities.agent_ca.count("BEGIN CERTIFICATE") == 1
    root = x509.load_pem_x509_certificate(replica.identities.agent_ca.encode())
    for agent in following:
        await accepted(replica, agent)
        x509.load_pem_x509_certificate(agent.certificate.encode()).verify_directly_issued_by(root)
    assert await replica.kinds("authority") == ["authority.rotated"]
    with pytest.raises(UnknownAuthority):
        await replica.identities.rotate("nobody", LOCAL)


async def test_the_server_shows_a_new_root_only_when_every_agent_has_learnt_it(replica: Replica) -> None:
    def shown() -> x509.Certificate:
        return x509.load_pem_x509_certificate(replica.identities.server_certificate.read_bytes())

    def pin() -> str:
        return replica.identities.server_pins[0]

    before = pin()
    new = await replica.identities.rotate("servers", LOCAL)
    agent = await replica.admit()
    assert agent.ca.count("BEGIN CERTIFICATE") == 2
    replica.clock.advance(DAY - 1)
    await replica.identities.upkeep()
    assert pin() == before
    old_root = next(
        one
        for one in x509.load_pem_x509_certificates(replica.identities.server_ca.encode())
        if one.fingerprint(SHA256()).hex() == before
    )
    shown().verify_directly_issued_by(old_root)
    replica.clock.advance(2)
    await replica.identities.upkeep()
    assert pin() == new
    learnt = x509.load_pem_x509_certificates(agent.ca.encode())
    shown().verify_directly_issued_by(next(one for one in learnt if one.fingerprint(SHA256()).hex() == new))
    replica.clock.advance(3_601)
    await replica.identities.upkeep()
    assert replica.identities.server_pins == [new]


async def test_the_servers_certificate_is_kept_over_restarts_and_renewed_by_itself(
    replica: Replica, database: Database, tmp_path: Path
) -> None:
    file = replica.identities.server_certificate
    first = file.read_bytes()
    again = await Replica(database, tmp_path / "replica", replica.clock, replica.settings).start()
    assert file.read_bytes() == first
    await again.stop()
    changes: list[int] = []
    replica.identities.on_trust_changed(lambda: changes.append(1))
    replica.clock.advance(5 * DAY)
    await replica.identities.upkeep()
    await replica.identities.upkeep()
    assert file.read_bytes() != first
    assert changes == [1]


@pytest.fixture
async def other(
    database_url: str, database: Database, replica: Replica, tmp_path: Path
) -> AsyncIterator[Replica]:
    """A second replica over the same PostgreSQL, with the same folder of roots."""
    if database.engine != "postgres":
        pytest.skip("one process owns an embedded database")
    folder = tmp_path / "other"
    opened = await open_database(database_url, data_dir=folder, settings=DatabaseSettings())
    other = await Replica(opened, folder, replica.clock, replica.settings).start()
    yield other
    await other.stop()
    await opened.close()


async def test_a_revocation_holds_in_another_replica_within_a_second(
    replica: Replica, other: Replica
) -> None:
    issued = await replica.admit()
    identity = await accepted(other, issued)
    told = asyncio.Event()
    other.identities.on_revoked(lambda _: told.set())
    began = asyncio.get_running_loop().time()
    await replica.identities.revoke(issued.agent_id, "deleted", LOCAL)
    await asyncio.wait_for(told.wait(), LIMIT_S)
    assert asyncio.get_running_loop().time() - began < 1.0
    still = other.identities.still_valid(identity)
    assert still is not None
    assert still.code is Code.REVOKED
    assert await refusal(other, issued) is Code.REVOKED


async def test_a_lost_hint_delays_a_revocation_by_less_than_a_second(
    replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await replica.admit()
    await accepted(other, issued)
    told = asyncio.Event()
    other.identities.on_revoked(lambda _: told.set())

    async def nobody_hears(*_: object) -> None:
        return None

    monkeypatch.setattr(type(replica.identities._database), "notify", nobody_hears)
    began = asyncio.get_running_loop().time()
    await replica.identities.revoke(issued.agent_id, "deleted", LOCAL)
    await asyncio.wait_for(told.wait(), LIMIT_S)
    assert asyncio.get_running_loop().time() - began < 1.0


async def test_a_certificate_is_good_in_every_replica_the_moment_it_is_handed_out(
    replica: Replica, other: Replica
) -> None:
    for _ in range(5):
        issued = await replica.admit()
        assert (await accepted(other, issued)).state is State.ACTIVE
        assert (await accepted(replica, issued)).state is State.ACTIVE


async def test_two_replicas_promote_different_certificates_of_one_agent_one_after_the_other(
    replica: Replica, other: Replica
) -> None:
    old = await replica.admit()
    replica.clock.advance(DUE)
    first = await renewed(replica, old)
    replica.clock.advance(30)
    second = await renewed(replica, old)
    await asyncio.gather(accepted(replica, first), accepted(other, second))
    states = {one.serial: one.state for one in await replica.identities.certificates(old.agent_id)}
    assert states == {
        old.serial: State.SUPERSEDED,
        first.serial: State.SUPERSEDED,
        second.serial: State.ACTIVE,
    }


async def test_replicas_that_start_together_agree_on_the_roots(
    database: Database, replica: Replica, tmp_path: Path
) -> None:
    settings = replace(replica.settings, authority_dir=tmp_path / "fresh")
    both = [Replica(database, tmp_path / f"r{n}", replica.clock, settings) for n in range(2)]
    await asyncio.gather(*(one.start() for one in both))
    assert both[0].identities.agent_ca == both[1].identities.agent_ca
    assert both[0].identities.server_ca == both[1].identities.server_ca
    issued = await both[0].admit()
    token, _ = both[0].identities.ticket(await accepted(both[0], issued))
    assert isinstance(await both[1].identities.identify_ticket(token, der_of(issued)), Identity)
    for one in both:
        await one.stop()


async def test_a_root_that_another_replica_added_is_trusted_before_it_signs(
    replica: Replica, other: Replica
) -> None:
    await replica.identities.rotate("agents", LOCAL)
    await other.identities.upkeep()
    assert other.identities.agent_ca == replica.identities.agent_ca
    replica.clock.advance(61)
    issued = await replica.admit()
    await accepted(other, issued)
