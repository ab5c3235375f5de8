import pytest

from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.settings import JournalSettings
from stellwerk.trust.principal import LOCAL
from stellwerk.trust.vault.service import Secrets, UnknownSecret
from support.clock import FakeClock

KEY = bytes(32)


def secrets_of(database: Database) -> tuple[Secrets, Journal]:
    journal = Journal(database, JournalSettings(), FakeClock())
    return Secrets(database, journal, KEY, FakeClock()), journal


async def test_a_secret_is_resolved_but_never_listed_or_journalled(database: Database) -> None:
    secrets, journal = secrets_of(database)
    assert await secrets.put(LOCAL, "registry.password", "hush") == 1
    assert await secrets.put(LOCAL, "registry.password", "hush-2") == 2
    assert await secrets.resolve(["registry.password"]) == {"registry.password": "hush-2"}
    assert [(one.name, one.version) for one in await secrets.list()] == [("registry.password", 2)]
    events = (await journal.page()).events
    assert [event.kind for event in events] == ["secret.set", "secret.set"]
    assert "hush" not in repr(events)
    await journal.stop()


async def test_a_deleted_secret_is_unknown(database: Database) -> None:
    secrets, journal = secrets_of(database)
    await secrets.put(LOCAL, "a", "hush")
    await secrets.delete(LOCAL, "a")
    with pytest.raises(UnknownSecret):
        await secrets.resolve(["a"])
    with pytest.raises(UnknownSecret):
        await secrets.delete(LOCAL, "a")
    await journal.stop()
