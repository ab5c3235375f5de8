"""Connector tokens in use, on both engines."""

import hmac
from collections.abc import AsyncIterator, Callable

import pytest

from stellwerk.database.database import Database
from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import AccessSettings, ConnectorSettings, JournalSettings
from stellwerk.trust.connectors.capabilities import EVERYTHING, Capability
from stellwerk.trust.connectors.service import Connectors
from stellwerk.trust.connectors.tokens import (
    CapabilitiesExceeded,
    Connector,
    FixedConnectorToken,
    InvalidConnectorToken,
    TokenRefused,
    UnknownConnectorToken,
    write_token,
)
from stellwerk.trust.keys import Refusal
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from support.clock import FakeClock

READ = frozenset({Capability.VERSIONS_READ})
Make = Callable[..., Connectors]


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    journal = Journal(database, JournalSettings(), FakeClock())
    yield journal
    await journal.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(database: Database, journal: Journal, clock: FakeClock) -> Make:
    """Make the connectors of a replica, or of a process after a restart."""

    def connectors(settings: ConnectorSettings | None = None) -> Connectors:
        return Connectors(database, journal, settings or ConnectorSettings(), AccessSettings(), clock)

    return connectors


@pytest.fixture
async def connectors(make: Make) -> AsyncIterator[Connectors]:
    made = make()
    await made.start()
    yield made
    await made.stop()


def refusal(connectors: Connectors, token: str) -> Refusal:
    found = connectors.recognise(token)
    assert isinstance(found, TokenRefused)
    return found.reason


async def test_a_token_is_recognised_with_what_it_may_also_after_a_restart(
    connectors: Connectors, make: Make, journal: Journal
) -> None:
    made = await connectors.create("ci", READ, LOCAL, agents=["hello"])
    again = make()
    await again.load()
    for replica in (connectors, again):
        caller = replica.recognise(made.token)
        assert isinstance(caller, Connector)
        assert (caller.id, caller.token.capabilities) == (f"connector:{made.record.token_id}", READ)
        assert (caller.may_touch("hello"), caller.may_touch("other")) == (True, False)
        assert not any(caller.may(scope) for scope in Scope)
    events = (await journal.page(EventFilter(kinds=("connector_token.*",)))).events
    assert [(event.kind, event.principal) for event in events] == [("connector_token.created", "local")]


async def test_the_text_is_neither_listed_nor_journalled_nor_stored(
    connectors: Connectors, journal: Journal, database: Database
) -> None:
    made = await connectors.create("ci", READ, LOCAL)
    secret = made.token.rpartition("_")[2]

    def stored() -> Unit[str]:
        return repr((yield Sql("SELECT * FROM connector_tokens")))

    said = repr(connectors.list()) + repr((await journal.page()).events) + repr(made)
    assert secret not in said + await database.read(stored)


async def test_unknown_wrong_expired_and_revoked_tokens_are_refused(
    connectors: Connectors, clock: FakeClock
) -> None:
    mortal = await connectors.create("a", READ, LOCAL, expires_at=clock.now_us() + 1_000_000)
    gone = await connectors.create("b", READ, LOCAL)
    await connectors.revoke(gone.record.token_id, LOCAL)
    clock.advance(1)
    assert refusal(connectors, mortal.token) is Refusal.EXPIRED
    assert refusal(connectors, gone.token) is Refusal.REVOKED
    assert refusal(connectors, write_token("00ff", "0" * 64)) is Refusal.UNKNOWN
    forged = mortal.token[:-1] + ("1" if mortal.token.endswith("0") else "0")
    assert refusal(connectors, forged) is Refusal.WRONG_SECRET
    for text in ("", "swc", "x" * 10_000, mortal.token + "0", "swc_configured_" + "0" * 64, "\udcff"):
        assert refusal(connectors, text) is Refusal.UNKNOWN


async def test_the_configured_token_is_one_among_others_and_ends_with_its_setting(
    make: Make, connectors: Connectors
) -> None:
    configured = make(ConnectorSettings(token="hush", capabilities=("restart",)))
    await configured.load()
    caller = configured.recognise("hush")
    assert isinstance(caller, Connector)
    assert caller.token.capabilities == {Capability.RESTART}
    assert [token.token_id for token in configured.list()] == ["configured"]
    with pytest.raises(FixedConnectorToken):
        await configured.revoke("configured", LOCAL)
    assert refusal(connectors, "hush") is Refusal.UNKNOWN
    assert connectors.list() == []
    with pytest.raises(UnknownConnectorToken):
        await connectors.revoke("configured", LOCAL)


async def test_texts_are_compared_by_their_hashes_in_constant_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    connectors = make(ConnectorSettings(token="hush"))
    made = await connectors.create("ci", READ, LOCAL)
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    connectors.recognise(made.token)
    connectors.recognise("h")
    assert [{len(one), len(other)} for one, other in compared] == [{64}] * 3


async def test_revoking_again_changes_nothing_and_is_recorded_once(
    connectors: Connectors, journal: Journal, clock: FakeClock
) -> None:
    made = await connectors.create("ci", READ, LOCAL)
    first = await connectors.revoke(made.record.token_id, LOCAL)
    clock.advance(1)
    assert await connectors.revoke(made.record.token_id, LOCAL) == first
    page = await journal.page(EventFilter(kinds=("connector_token.revoked",)))
    assert len(page.events) == 1


async def test_nobody_gives_away_rights_over_agents_that_he_does_not_have(connectors: Connectors) -> None:
    keeper = Principal("key:1", "keeper", frozenset({Scope.KEYS_ADMIN}))
    reader = Principal("key:2", "reader", frozenset({Scope.KEYS_ADMIN, Scope.FLEET_READ}))
    for by, capabilities in ((keeper, READ), (reader, EVERYTHING), (reader, {Capability.RESTART})):
        with pytest.raises(CapabilitiesExceeded):
            await connectors.create("ci", capabilities, by)
    assert connectors.list() == []
    await connectors.create("ci", READ, reader)


@pytest.mark.parametrize(
    "wrong",
    [{"name": " "}, {"name": ""}, {"capabilities": ()}, {"agents": ()}, {"expires_at": 1}],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_token_that_does_not_fit_is_not_made(
    connectors: Connectors, wrong: dict[str, object]
) -> None:
    given: dict[str, object] = {
        "name": "ci",
        "capabilities": READ,
        "agents": None,
        "expires_at": None,
    } | wrong
    with pytest.raises(InvalidConnectorToken):
        await connectors.create(**given, by=LOCAL)  # type: ignore[arg-type]  # one of them is wrong on purpose
    assert connectors.list() == []


async def test_last_use_is_written_behind(connectors: Connectors, make: Make, clock: FakeClock) -> None:
    made = await connectors.create("ci", READ, LOCAL)
    clock.advance(5)
    connectors.recognise(made.token)
    await connectors.flush()
    again = make()
    await again.load()
    assert [token.last_used_at for token in again.list()] == [clock.now_us()]


async def test_another_replica_learns_of_a_revocation(
    connectors: Connectors, make: Make, database: Database
) -> None:
    if database.engine == "sqlite":
        pytest.skip("an embedded database has one replica")
    other = make()
    await other.start()
    made = await connectors.create("ci", READ, LOCAL)
    await connectors.revoke(made.record.token_id, LOCAL)
    await other.refreshed()
    await other.refreshed()
    assert refusal(other, made.token) is Refusal.REVOKED
    await other.stop()
