"""Events of the application over HTTP: lists without duplicates, and the stream."""

import asyncio
from urllib.parse import quote

import msgspec
import pytest

from support.shop import Shop

FAILING = {"podAnnotations": {"sandbox.stellwerk.dev/fail": "crash"}}


def ids(events: list[dict[str, object]]) -> set[object]:
    return {one["id"] for one in events}


async def test_events_are_listed_once_newest_first_with_their_number(shop: Shop) -> None:
    await shop.up("redis")
    answer = await shop.api.call("GET", "/api/events")
    events = answer.body
    assert answer.headers["x-total-count"] == str(len(events))
    assert len(ids(events)) == len(events)
    assert [one["timestamp"] for one in events] == sorted((one["timestamp"] for one in events), reverse=True)
    messages = [one["message"] for one in events]
    assert messages.count("Successfully applied manifest") == 2
    assert messages.count("Reconciliation complete") == messages.count("Reconciliation started") == 1
    assert all(one["details"]["operation"] == "up" for one in events)
    one = next(one for one in events if "resourceKey" in one)
    assert one.keys() == {"id", "timestamp", "type", "resourceKey", "message", "details", "kind", "by"}
    page = await shop.api.get("/api/events/?limit=2&offset=1")
    assert page == events[1:3]


async def test_errors_name_the_resource_and_its_reason(shop: Shop) -> None:
    await shop.set(frontend=FAILING)
    await shop.up("frontend")
    errors = await shop.api.get("/api/events/errors?limit=20")
    assert errors
    # Watching goes on meanwhile, so there may be more now.
    assert ids(errors) <= ids(await shop.api.get("/api/events?type=error&limit=20"))
    of_one = await shop.api.get("/api/events/default/Deployment/frontend?limit=10")
    failed = next(one for one in of_one if one["type"] == "error" and one["kind"] == "deploy.object.failed")
    assert (failed["resourceKey"], failed["error"]) == ("default/Deployment/frontend", "CrashLoopBackOff")
    same = await shop.api.get("/api/events?resource=default/Deployment/frontend&limit=20")
    assert ids(of_one) <= ids(same)
    assert await shop.api.get("/api/events/default/Deployment/nobody") == []


async def test_times_bound_the_list_and_the_deletion(shop: Shop) -> None:
    await shop.up("redis")
    events = await shop.api.get("/api/events")
    middle = quote(events[2]["timestamp"])
    later = await shop.api.get(f"/api/events?since={middle}")
    earlier = await shop.api.get(f"/api/events?until={middle}")
    assert events[2] in later
    assert events[2] in earlier
    assert ids(later + earlier) >= ids(events)
    gone = await shop.api.delete("/api/events?before=2999-01-01T00:00:00Z")
    assert gone["message"] == "Events cleaned up successfully"
    assert gone["deleted"] > 0
    left = await shop.api.get("/api/events")
    # Who asked for what is kept for audits, and the newest event for the order of the journal.
    assert {one["kind"] for one in left} <= {"deploy.operation.requested", "deploy.operation.finished"}


@pytest.mark.parametrize(
    ("method", "query", "code"),
    [
        ("GET", "?limit=0", "validation_error"),
        ("GET", "?limit=1001", "validation_error"),
        ("GET", "?offset=-1", "validation_error"),
        ("GET", "?type=fatal", "validation_error"),
        ("GET", "?since=soon", "validation_error"),
        ("GET", "?types=error", "validation_error"),
        ("GET", "/errors?limit=x", "validation_error"),
        ("DELETE", "", "missing_parameter"),
        ("DELETE", "?before=soon", "invalid_parameter"),
    ],
)
async def test_faulty_queries_are_refused(shop: Shop, method: str, query: str, code: str) -> None:
    answer = await shop.api.call(method, f"/api/events{query}")
    assert (answer.status, answer.body["error"]) == (400, code)


async def test_the_stream_brings_what_happens_and_resumes(shop: Shop) -> None:
    async with shop.api.session.get(f"{shop.api.url}/api/events/stream?type=success") as stream:
        await shop.up("redis")
        seen = []
        async with asyncio.timeout(10):
            while not seen or seen[-1]["message"] != "Reconciliation complete":
                line = await stream.content.readline()
                if line.startswith(b"data: "):
                    seen.append(msgspec.json.decode(line[6:]))
    assert {one["type"] for one in seen} == {"success"}
    headers = {"Last-Event-ID": seen[0]["id"]}
    async with shop.api.session.get(f"{shop.api.url}/api/events/stream", headers=headers) as stream:
        async with asyncio.timeout(10):
            while not (line := await stream.content.readline()).startswith(b"data: "):
                pass
        assert msgspec.json.decode(line[6:])["id"] != seen[0]["id"]
