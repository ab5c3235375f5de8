"""Key and certificate survive a crash at any moment."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from stellwerk.agent.clock import SECOND
from stellwerk.agent.identity import IdentityStore, IdentityUnusable, Pair, check_permissions
from support.agent_authority import TestAuthority

AUTHORITY = TestAuthority("agents")


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    made = IdentityStore(tmp_path / "identity")
    made.prepare()
    return made


def sign(csr: str, agent_id: str = "a-1") -> str:
    key: Any = x509.load_pem_x509_csr(csr.encode()).public_key()
    now = datetime.datetime.now(datetime.UTC)
    return AUTHORITY.sign_agent(agent_id, key, now, 86_400).public_bytes(Encoding.PEM).decode()


def key_of(csr: str) -> object:
    return x509.load_pem_x509_csr(csr.encode()).public_key()


def test_the_same_key_is_asked_for_until_its_certificate_has_come(
    store: IdentityStore, tmp_path: Path
) -> None:
    first = store.request()
    again = IdentityStore(tmp_path / "identity").request()
    assert key_of(first) == key_of(again)
    store.keep_next(sign(first))
    assert key_of(store.request()) != key_of(first)


def test_a_new_pair_is_tried_first_and_the_old_one_stays_until_it_has_proved_itself(
    store: IdentityStore,
) -> None:
    old = store.promote(store.keep_next(sign(store.request())))
    new = store.keep_next(sign(store.request()))
    assert [pair.serial for pair in store.pairs()] == [new.serial, old.serial]
    store.promote(new)
    assert [pair.serial for pair in store.pairs()] == [new.serial]


def test_a_new_pair_that_is_refused_leaves_the_old_one(store: IdentityStore) -> None:
    old = store.promote(store.keep_next(sign(store.request())))
    store.drop(store.keep_next(sign(store.request())))
    store.drop(old)
    assert store.pairs() == [old]


def test_a_certificate_of_another_key_is_not_stored(store: IdentityStore, tmp_path: Path) -> None:
    other = IdentityStore(tmp_path / "other")
    other.prepare()
    store.request()
    with pytest.raises(IdentityUnusable, match="another key"):
        store.keep_next(sign(other.request()))
    assert store.pairs() == []


def test_a_kill_between_storing_a_pair_and_removing_its_key_is_noticed(
    store: IdentityStore, tmp_path: Path
) -> None:
    first = store.request()
    waiting = (tmp_path / "identity/key.pem").read_bytes()
    store.keep_next(sign(first))
    (tmp_path / "identity/key.pem").write_bytes(waiting)
    assert key_of(store.request()) != key_of(first)


def test_a_broken_new_pair_is_as_good_as_none(store: IdentityStore, tmp_path: Path) -> None:
    old = store.promote(store.keep_next(sign(store.request())))
    (tmp_path / "identity/next.pem").write_text("half a fi")
    assert store.pairs() == [old]


def test_only_the_owner_may_read_keys(store: IdentityStore, tmp_path: Path) -> None:
    store.keep_next(sign(store.request()))
    assert (tmp_path / "identity/next.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o700
    (tmp_path / "identity/next.pem").chmod(0o644)
    with pytest.raises(IdentityUnusable, match="chmod 600"):
        check_permissions(tmp_path / "identity")


def test_a_bundle_that_is_no_pem_leaves_the_trusted_one(store: IdentityStore) -> None:
    assert store.keep_ca(AUTHORITY.pem)
    assert not store.keep_ca(AUTHORITY.pem)
    with pytest.raises(IdentityUnusable):
        store.keep_ca("-----BEGIN NOTHING")
    assert store.ca() == AUTHORITY.pem


def test_it_renews_when_the_server_says_and_never_before() -> None:
    pair = Pair(Path("x"), "a", 1, 0, 86_400 * SECOND)
    assert pair.renew_at(None, 0.0) == 57_600 * SECOND
    assert pair.renew_at(1000.0, 0.0) == 1000 * SECOND
    assert pair.renew_at(1000.0, 1.0) == (1000 + 4320) * SECOND
