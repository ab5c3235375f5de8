"""API keys in use, on both engines."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from stellwerk.database.database import Database
from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import AccessSettings, JournalSettings
from stellwerk.trust.keys import KeyRefused, Refusal, ScopesExceeded, UnknownKey
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from stellwerk.trust.service import Keys
from support.clock import FakeClock

READ = frozenset({Scope.TASKS_READ})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def journal(database: Database, clock: FakeClock) -> AsyncIterator[Journal]:
    journal = Journal(database, JournalSettings(), clock)
    yield journal
    await journal.stop()


@pytest.fixture
async def keys(database: Database, journal: Journal, clock: FakeClock) -> AsyncIterator[Keys]:
    keys = Keys(database, journal, AccessSettings(), clock)
    await keys.start()
    yield keys
    await keys.stop()


async def audited(journal: Journal) -> list[tuple[str, str | None]]:
    page = await journal.page(EventFilter(kinds=("key.*",)))
    return [(event.kind, event.principal) for event in page.events]


async def test_a_created_key_is_recognised_by_its_token(keys: Keys, journal: Journal) -> None:
    created = await keys.create("ci", READ, None, LOCAL)
    assert keys.authenticate(created.token) == Principal(f"key:{created.key.key_id}", "ci", READ)
    assert await audited(journal) == [("key.created", "local")]


async def test_the_secret_is_neither_stored_nor_journaled(
    keys: Keys, journal: Journal, database: Database
) -> None:
    created = await keys.create("ci", READ, None, LOCAL)
    secret = created.token.rpartition("_")[2]
    assert secret not in repr(keys.list())
    assert all(secret not in event.data for event in (await journal.page()).events)


async def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing(
    keys: Keys, journal: Journal, clock: FakeClock
) -> None:
    created = await keys.create("ci", READ, None, LOCAL)
    first = await keys.revoke(created.key.key_id, LOCAL)
    clock.advance(5)
    assert await keys.revoke(created.key.key_id, LOCAL) == first
    assert keys.authenticate(created.token) == KeyRefused(Refusal.REVOKED, created.key.key_id)
    assert await audited(journal) == [("key.created", "local"), ("key.revoked", "local")]


async def test_an_expired_key_is_refused(keys: Keys, clock: FakeClock) -> None:
    created = await keys.create("ci", READ, clock.now_us() + 1_000_000, LOCAL)
    clock.advance(1)
    assert keys.authenticate(created.token) == KeyRefused(Refusal.EXPIRED, created.key.key_id)


async def test_an_unknown_key_is_refused_and_cannot_be_revoked(keys: Keys) -> None:
    assert keys.authenticate("sw_nobody_" + "0" * 64) == KeyRefused(Refusal.UNKNOWN, "nobody")
    assert keys.authenticate("password") == KeyRefused(Refusal.MALFORMED)
    with pytest.raises(UnknownKey):
        await keys.revoke("nobody", LOCAL)


async def test_a_refused_creation_changes_nothing(keys: Keys, journal: Journal) -> None:
    with pytest.raises(ScopesExceeded):
        await keys.create("ci", READ, None, Principal("key:1", "keeper", frozenset({Scope.KEYS_ADMIN})))
    assert keys.list() == []
    assert await audited(journal) == []


async def test_keys_survive_a_restart(
    keys: Keys, database: Database, journal: Journal, clock: FakeClock
) -> None:
    created = await keys.create("ci", READ, None, LOCAL)
    again = Keys(database, journal, AccessSettings(), clock)
    await again.load()
    assert again.list() == [created.key]
    assert isinstance(again.authenticate(created.token), Principal)


async def test_the_first_key_is_made_once(
    keys: Keys, database: Database, journal: Journal, clock: FakeClock
) -> None:
    other = Keys(database, journal, AccessSettings(), clock)
    token = await keys.bootstrap()
    assert token is not None
    assert await other.bootstrap() is None
    found = other.authenticate(token)
    assert isinstance(found, Principal)
    assert found.may(Scope.KEYS_ADMIN)
    assert await audited(journal) == [("key.bootstrapped", "system")]


async def test_a_new_first_key_is_made_when_no_key_is_usable(keys: Keys) -> None:
    first = await keys.bootstrap()
    await keys.revoke("bootstrap0", LOCAL)
    second = await keys.bootstrap()
    assert first is not None
    assert second is not None
    assert isinstance(keys.authenticate(second), Principal)
    assert keys.authenticate(first) == KeyRefused(Refusal.REVOKED, "bootstrap0")


async def test_the_last_use_is_written_in_batches(
    keys: Keys, database: Database, journal: Journal, clock: FakeClock
) -> None:
    created = await keys.create("ci", READ, None, LOCAL)
    keys.authenticate(created.token)
    clock.advance(1)
    keys.authenticate(created.token)
    await keys.flush()
    again = Keys(database, journal, AccessSettings(), clock)
    await again.load()
    assert [key.last_used_at for key in again.list()] == [clock.now_us()]
    assert keys.list() == again.list()


async def test_a_key_with_a_scope_of_a_newer_release_keeps_its_known_scopes(
    keys: Keys, database: Database
) -> None:
    created = await keys.create("ci", READ, None, LOCAL)
    stored = msgspec.json.encode(["tasks:read", "rockets:launch"]).decode()

    def widen() -> Unit[None]:
        yield Sql("UPDATE api_keys SET scopes = $1", (stored,))

    await database.write(widen)
    await keys.load()
    assert [key.scopes for key in keys.list()] == [READ]
    assert isinstance(keys.authenticate(created.token), Principal)


@pytest.mark.postgres
async def test_another_replica_hears_of_a_revocation_by_itself(
    keys: Keys, database: Database, journal: Journal, clock: FakeClock
) -> None:
    if database.engine != "postgres":
        pytest.skip("one process owns an SQLite database")
    replica = Keys(database, journal, AccessSettings(), clock)
    await replica.start()
    created = await keys.create("ci", READ, None, LOCAL)
    await keys.revoke(created.key.key_id, LOCAL)
    async with asyncio.timeout(5):
        while replica.authenticate(created.token) != KeyRefused(Refusal.REVOKED, created.key.key_id):
            await replica.refreshed()
    await replica.stop()
