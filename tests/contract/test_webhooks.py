"""Webhooks of executions on both engines, with receivers behind real sockets."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from stellwerk.database.database import Database
from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import EventFilter
from stellwerk.traffic import webhooks
from stellwerk.traffic.execution import Status, WebhookState
from stellwerk.traffic.webhook import Address
from stellwerk.trust.principal import LOCAL
from support.clock import FakeClock
from support.traffic import Process, Receiver, Site, open_site

SECRET = "whsec_of_the_caller"


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
async def receiver() -> AsyncIterator[Receiver]:
    receiver = await Receiver().listen()
    yield receiver
    await receiver.close()


async def waits(site: Site, execution_id: str, attempts: int) -> None:
    """Wait until an attempt has failed and the next one is planned."""

    def stands(one: Any) -> bool:
        told = one.webhook
        return told.state is WebhookState.DUE and told.attempts == attempts and told.error is not None

    await site.until(execution_id, stands)


async def pass_pause(site: Site, seconds: float) -> None:
    site.clock.advance(seconds)
    site.webhooks.loop.wake()


async def test_a_result_is_told_once_and_signed(site: Site, process: Process, receiver: Receiver) -> None:
    begun = await site.begin_told(
        receiver.url, secret=SECRET, hook_headers={"X-Custom-ID": "c-1"}, session_id="s", run_id="run-1"
    )
    body = await receiver.hear()
    assert await site.told(begun.id, WebhookState.DELIVERED)
    (headers, raw), *more = receiver.told
    assert more == []
    expected = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    assert headers["X-AgentField-Signature"] == expected
    assert (headers["X-Custom-ID"], headers["Content-Type"]) == ("c-1", "application/json")
    assert (headers["X-Execution-ID"], headers["X-Webhook-Attempt"]) == (begun.id, "1")
    for name in ("created_at", "started_at", "completed_at", "timestamp", "duration_ms"):
        assert body.pop(name) is not None
    assert body == {
        "event": "execution.completed",
        "execution_id": begun.id,
        "run_id": "run-1",
        "workflow_id": "run-1",
        "agent_node_id": "hello",
        "reasoner_id": "greet",
        "status": "succeeded",
        "target": "hello.greet",
        "type": "reasoner",
        "result": {"version": "1.0.0", "got": {"name": "ada"}},
        "version": "1.0.0",
        "instance_id": process.name,
        "session_id": "s",
    }


async def test_without_a_secret_nothing_is_signed(site: Site, process: Process, receiver: Receiver) -> None:
    await site.begin_told(receiver.url)
    await receiver.hear()
    assert "X-AgentField-Signature" not in receiver.told[0][0]


async def test_a_failure_and_a_cancellation_are_told_as_failed(
    site: Site, process: Process, receiver: Receiver
) -> None:
    process.answer = process.promise
    failed = await site.begin_told(receiver.url)
    await site.report(failed.id, status=Status.FAILED, error="boom", error_details='{"at":1}')
    body = await receiver.hear()
    assert (body["event"], body["status"], body["error_message"], body["error_details"]) == (
        "execution.failed",
        "failed",
        "boom",
        {"at": 1},
    )
    assert "result" not in body
    await site.fleet.set_weights(LOCAL, "hello", {"1.0.0": 0})
    waiting = await site.begin_told(receiver.url)
    assert waiting.status is Status.QUEUED
    await site.traffic.cancel(LOCAL, waiting.id)
    body = await receiver.hear()
    assert (body["execution_id"], body["event"], body["status"]) == (
        waiting.id,
        "execution.failed",
        "cancelled",
    )


async def test_nobody_is_told_before_the_end(site: Site, process: Process, receiver: Receiver) -> None:
    process.answer = process.promise
    begun = await site.begin_told(receiver.url)
    for _ in range(3):
        site.webhooks._walk_at = 0.0
        await site.webhooks._find_ended()
    assert (await site.told(begun.id, WebhookState.WAITING)).attempts == 0
    assert receiver.told == []


async def test_a_receiver_that_is_away_is_tried_again_with_growing_pauses(
    site: Site, process: Process, receiver: Receiver
) -> None:
    receiver.answers = [500, 404]
    begun = await site.begin_told(receiver.url)
    await receiver.hear()
    await waits(site, begun.id, 1)
    await pass_pause(site, 4.9)
    assert (await site.told(begun.id, WebhookState.DUE)).error == "the receiver answered 500"
    await pass_pause(site, 0.2)
    await receiver.hear()
    await waits(site, begun.id, 2)
    await pass_pause(site, 9.9)
    assert len(receiver.told) == 2
    await pass_pause(site, 0.2)
    await receiver.hear()
    told = await site.told(begun.id, WebhookState.DELIVERED)
    assert (told.attempts, told.error) == (3, None)
    assert len({body for _, body in receiver.told}) == 1
    assert [headers["X-Webhook-Attempt"] for headers, _ in receiver.told] == ["1", "2", "3"]


async def test_it_is_given_up_after_as_many_attempts_as_the_settings_say(
    database: Database, receiver: Receiver
) -> None:
    async with open_site(database, webhook_attempts=2, webhook_retry_s=1.0) as site:
        process = await (await Process(site).listen()).join()
        receiver.answers = [503, 503]
        begun = await site.begin_told(receiver.url)
        await receiver.hear()
        await waits(site, begun.id, 1)
        await pass_pause(site, 1.1)
        await receiver.hear()
        told = await site.told(begun.id, WebhookState.FAILED)
        assert (told.attempts, told.error) == (2, "the receiver answered 503")
        await pass_pause(site, 10_000)
        events = (await site.journal.page(EventFilter(task=begun.id, kinds=("execution.webhook",)))).events
        assert [event.data for event in events] == ['{"state":"failed","attempts":2,"status":503}']
        assert len(receiver.told) == 2
        await process.die()


async def test_an_address_outside_the_policy_is_never_called_and_not_tried_again(
    site: Site, process: Process
) -> None:
    begun = await site.begin_told("http://169.254.169.254/latest/meta-data")
    told = await site.told(begun.id, WebhookState.FAILED)
    assert told.attempts == 1
    assert told.error
    assert SECRET not in told.error


async def test_a_redirect_is_not_followed(site: Site, process: Process, receiver: Receiver) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("http://169.254.169.254/")

    receiver.answers = [redirect]
    begun = await site.begin_told(receiver.url)
    await waits(site, begun.id, 1)
    assert (await site.told(begun.id, WebhookState.DUE)).error == "the receiver answered 307"


async def test_a_receiver_that_never_answers_keeps_nobody_waiting(database: Database) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with open_site(database, webhook_timeout_s=0.5) as site:
        process = await (await Process(site).listen()).join()
        deaf, good = await Receiver().listen(), await Receiver().listen()
        deaf.answers = [hang]
        slow = await site.begin_told(deaf.url)
        await deaf.hear()
        quick = await site.begin_told(good.url)
        await site.told(quick.id, WebhookState.DELIVERED)
        await waits(site, slow.id, 1)
        for one in (deaf, good):
            await one.close()
        await process.die()


async def test_an_end_that_a_killed_server_did_not_tell_is_told_by_the_next(
    database: Database, receiver: Receiver
) -> None:
    clock = FakeClock()
    site = await Site(database, clock).start()
    process = await (await Process(site).listen()).join()
    process.answer = process.promise
    # Taken on and never watched, as by a server that is killed behind its commit.
    begun = await site.begin(webhook=site.webhooks.seal(Address(receiver.url)))
    await site.crash()
    other = await Site(database, clock).start()
    await other.report(begun.id, result="1")
    other.webhooks._walk_at = 0.0
    other.webhooks.loop.wake()
    assert (await receiver.hear())["result"] == 1
    await other.told(begun.id, WebhookState.DELIVERED)
    assert len(receiver.told) == 1
    await process.die()
    await other.stop()


async def test_an_attempt_that_nobody_wrote_the_end_of_is_made_again(
    site: Site, process: Process, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, lost = webhooks.store.settle, []

    def lose_once(claimed: Any, *rest: Any) -> Unit[bool]:
        if not lost:
            lost.append(claimed)
            raise RuntimeError("killed behind the call")
        return settle(claimed, *rest)

    monkeypatch.setattr(webhooks.store, "settle", lose_once)
    begun = await site.begin_told(receiver.url)
    first = await receiver.hear()
    await site.until(begun.id, lambda one: bool(lost))
    await pass_pause(site, site.settings.webhook_timeout_s + webhooks.MARGIN_S - 1)
    assert len(receiver.told) == 1
    await pass_pause(site, 2)
    assert await receiver.hear() == first
    assert (await site.told(begun.id, WebhookState.DELIVERED)).attempts == 2


async def test_of_several_replicas_one_tells(database: Database, receiver: Receiver) -> None:
    if database.engine == "sqlite":
        pytest.skip("one process has an SQLite database")
    clock = FakeClock()
    sites = [await Site(database, clock).start() for _ in range(3)]
    process = await (await Process(sites[0]).listen()).join()
    process.answer = process.promise
    await asyncio.gather(*(site.fleet.get_fresh("hello") for site in sites))
    begun = [await sites[0].begin_told(receiver.url) for _ in range(20)]
    for site in sites:
        site.webhooks._walk_at = 0.0
    await asyncio.gather(*(sites[n % 3].report(one.id, result=str(n)) for n, one in enumerate(begun)))
    for site in sites:
        site.webhooks._walk_at = 0.0
        site.webhooks.loop.wake()
    for one in begun:
        assert (await sites[1].told(one.id, WebhookState.DELIVERED)).attempts == 1
    assert len(receiver.told) == len(begun)
    await process.die()
    for site in sites:
        await site.stop()


async def test_what_was_said_is_sealed_and_removed_with_its_execution(
    site: Site, process: Process, receiver: Receiver
) -> None:
    begun = await site.begin_told(receiver.url, secret=SECRET, hook_headers={"Authorization": "Bearer tok"})
    await site.told(begun.id, WebhookState.DELIVERED)

    def read() -> Unit[list[Any]]:
        return (yield Sql("SELECT * FROM execution_webhooks"))

    text = repr([tuple(row) for row in await site.database.read(read)])
    assert text
    for secret in (SECRET, "Bearer tok", receiver.url):
        assert secret not in text
    site.clock.advance(8 * 86_400)
    await site.work.sweeper.prune()
    assert await site.traffic.execution(begun.id) is None
    assert await site.database.read(read) == []


async def test_the_same_key_has_one_execution_and_one_webhook(
    site: Site, process: Process, receiver: Receiver
) -> None:
    first = await site.begin_told(receiver.url, idempotency_key="k")
    again = await site.begin_told(receiver.url, idempotency_key="k")
    assert again.id == first.id
    await receiver.hear()
    await site.told(first.id, WebhookState.DELIVERED)
    assert len(receiver.told) == 1
