"""Options of agents on both engines: what operators said stays, whatever happens around it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stellwerk.database.database import Database
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import NODES, Registration
from stellwerk.journal.event import EventFilter
from stellwerk.traffic import options as options_module
from stellwerk.traffic.execution import OptionChanges, Options
from stellwerk.traffic.refusals import InvalidOptions
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from support.clock import FakeClock
from support.traffic import Process, Site, open_site

STRANGER = Principal("key:stranger", "stranger", frozenset({Scope.FLEET_WRITE, Scope.TASKS_SUBMIT}))
SUPERVISED = OptionChanges(supervisor={"kind": "systemd"})


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with open_site(database) as site:
        yield site


@pytest.fixture
async def process(site: Site) -> AsyncIterator[Process]:
    process = await (await Process(site).listen()).join()
    yield process
    await process.die()


@pytest.fixture
async def two(database: Database) -> AsyncIterator[tuple[Site, Site]]:
    """Two replicas that know an agent."""
    if database.engine == "sqlite":
        pytest.skip("one process has an SQLite database")
    clock = FakeClock()
    sites = await Site(database, clock).start(), await Site(database, clock).start()
    await Process(sites[0]).join(endpoints={"base_url": "http://127.0.0.1:1"})
    await sites[1].fleet.get_fresh("hello")
    yield sites
    for site in sites:
        await site.stop()


async def supervised(site: Site) -> Options:
    return await site.traffic.change_options(LOCAL, "hello", SUPERVISED)


async def again(site: Site, owner: Principal = LOCAL) -> None:
    """Let the name be taken anew, by somebody else perhaps."""
    await site.fleet.remove(LOCAL, "hello")
    site.clock.advance(1)
    await site.fleet.register(owner, Registration(group="hello", joined_through=NODES, kind="node"))


async def test_options_are_kept_and_bounded_and_need_the_owner(site: Site, process: Process) -> None:
    traffic = site.traffic
    assert traffic.options("hello") == Options()
    changes = OptionChanges(sticky=True, concurrency=5, supervisor={"kind": "systemd"}, metadata={"a": 1})
    expected = Options(sticky=True, concurrency=5, supervisor={"kind": "systemd"}, metadata={"a": 1})
    assert await traffic.change_options(LOCAL, "hello", changes) == expected
    back = await traffic.change_options(LOCAL, "hello", OptionChanges(concurrency=None))
    assert (back.concurrency, back.sticky, traffic.options("hello")) == (None, True, back)
    for wrong in (OptionChanges(concurrency=0), OptionChanges(metadata={"a": "x" * 70_000})):
        with pytest.raises(InvalidOptions):
            await traffic.change_options(LOCAL, "hello", wrong)
    with pytest.raises(OwnedByAnother):
        await traffic.change_options(STRANGER, "hello", OptionChanges(sticky=False))
    with pytest.raises(UnknownAgent):
        await traffic.change_options(LOCAL, "nobody", OptionChanges(sticky=False))
    assert traffic.options("hello") == back
    page = await site.journal.page(EventFilter(kinds=("agent.options",)))
    assert len(page.events) == 2


# What must not lose them


async def test_they_outlive_a_killed_server(database: Database) -> None:
    site = await Site(database, FakeClock()).start()
    await Process(site).join(endpoints={"base_url": "http://127.0.0.1:1"})
    expected = await supervised(site)
    await site.crash()
    for _ in range(2):
        site = await Site(database, site.clock).start()
        await Process(site, name="process-2").join(endpoints={"base_url": "http://127.0.0.1:1"})
        await site.traffic._options.look()
        assert site.traffic.options("hello") == expected
        await site.crash()


async def test_an_agent_that_memory_lacks_for_a_moment_keeps_them(site: Site, process: Process) -> None:
    expected = await supervised(site)
    view = site.fleet._registry.directory.remove("hello")
    assert view is not None
    await site.traffic._options.look()
    site.fleet._registry.directory.put(view)
    await site.traffic._options.look()
    assert site.traffic.options("hello") == expected


async def test_a_look_that_began_before_a_change_does_not_take_it_back(
    site: Site, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, has_read, may_go_on = site.database.read, asyncio.Event(), asyncio.Event()

    async def read_slowly(unit: Any) -> Any:
        answer = await read(unit)
        if unit is options_module.store.read_options and not has_read.is_set():
            has_read.set()
            await may_go_on.wait()
        return answer

    monkeypatch.setattr(site.database, "read", read_slowly)
    looking = asyncio.create_task(site.traffic._options.look())
    await asyncio.wait_for(has_read.wait(), 5)
    expected = await supervised(site)
    may_go_on.set()
    await looking
    assert site.traffic.options("hello") == expected


async def test_changes_of_two_replicas_at_once_are_both_kept(two: tuple[Site, Site]) -> None:
    here, there = two
    for number in range(1, 21):
        await asyncio.gather(
            here.traffic.change_options(LOCAL, "hello", OptionChanges(concurrency=number)),
            there.traffic.change_options(LOCAL, "hello", OptionChanges(metadata={"number": number})),
        )
        for site in two:
            await site.traffic._options.look()
            found = site.traffic.options("hello")
            assert (found.concurrency, found.metadata) == (number, {"number": number})


async def test_what_the_next_one_of_the_name_was_given_outlives_another_replicas_drop(
    two: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = two
    await supervised(here)
    await there.traffic._options.look()
    # The other replica has seen that the agent went, and not that it came again.
    there.fleet._registry.directory.remove("hello")
    await again(here)
    expected = await here.traffic.change_options(LOCAL, "hello", OptionChanges(concurrency=7))
    await there.traffic._options.look()
    await here.traffic._options.look()
    assert here.traffic.options("hello") == expected == Options(concurrency=7)


async def test_whoever_takes_the_name_of_a_removed_agent_does_not_inherit_them(
    site: Site, process: Process
) -> None:
    await supervised(site)
    await again(site, STRANGER)
    assert site.traffic.options("hello") == Options()
    await site.traffic._options.look()
    assert site.traffic.options("hello") == Options()
    changed = await site.traffic.change_options(STRANGER, "hello", OptionChanges(concurrency=3))
    assert changed == Options(concurrency=3)


async def test_those_of_a_removed_agent_are_dropped(site: Site, process: Process) -> None:
    await supervised(site)
    await site.fleet.remove(LOCAL, "hello")
    await site.traffic._options.look()
    assert await site.database.read(options_module.store.read_options) == {}
