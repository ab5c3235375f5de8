"""Weights: set one, set several, lose a race, be refused; and what calls then get."""

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from interfaces.connector.conftest import PREFIXES, Site
from support.node import Node
from support.plane import Answer, Caller

UNCHANGED = {"1.0.0": 900, "2.0.0": None}
RANGE = {"error": "weight must be between 0 and 10000"}
REQUIRED = {"error": "weight is required"}
ALL_PREFIXES = (*PREFIXES, "/api/v1/traffic")


async def put(caller: Caller, weight: Any, path: str = "hello/versions/2.0.0", **more: Any) -> Answer:
    return await caller.call("PUT", f"/connector/reasoners/{path}/weight", {"weight": weight}, **more)


async def call(site: Site, **headers: str) -> Answer:
    body = {"input": {"name": "ada"}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.api.call("POST", "/api/v1/execute/hello.greet", body, headers=named)


async def routed(site: Site, count: int) -> list[str]:
    """Call the agent, one after the other; the versions that answered."""
    return [(await call(site)).headers["x-routed-version"] for _ in range(count)]


@pytest.mark.parametrize("prefix", ALL_PREFIXES)
async def test_a_canary_of_100_gets_the_ten_percent_that_it_promises(site: Site, prefix: str) -> None:
    caller = site.caller if prefix in PREFIXES else site.api
    answer = await caller.call(
        "PUT",
        f"{prefix}/reasoners/hello/versions/2.0.0/weight",
        b'{"weight": 100}',
        headers={"content-type": "application/x-www-form-urlencoded"},  # what curl -d sends
    )
    assert (answer.status, answer.body) == (
        200,
        {
            "success": True,
            "id": "hello",
            "version": "2.0.0",
            "previous_weight": None,
            "new_weight": 100,
            "share_percent": 10.0,
            "shares": {"1.0.0": 90.0, "2.0.0": 10.0},
        },
    )
    versions = await routed(site, 20)
    assert Counter(versions) == {"1.0.0": 18, "2.0.0": 2}
    assert all(versions[start : start + 10].count("2.0.0") == 1 for start in range(11))
    figures = {
        one["version"]: one["figures"]["calls"]
        for one in (await caller.get(f"{prefix}/reasoners/hello/versions"))["versions"]
    }
    assert figures == {"1.0.0": 18, "2.0.0": 2}


async def test_an_unset_version_gets_nothing_and_can_be_reached_on_purpose(site: Site) -> None:
    assert set(await routed(site, 5)) == {"1.0.0"}
    assert (await call(site, X_Version="2.0.0")).headers["x-routed-version"] == "2.0.0"


async def test_an_unset_version_takes_over_where_no_weighted_one_is_healthy(site: Site) -> None:
    await site.one.beat("degraded")
    assert set(await routed(site, 3)) == {"2.0.0"}
    shown = await site.caller.get("/connector/reasoners/hello/versions/2.0.0")
    assert (shown["traffic_weight"], shown["share_percent"]) == (None, 100.0)


async def test_zero_is_off_and_all_off_is_503(site: Site) -> None:
    assert (await put(site.caller, 0)).body["share_percent"] == 0.0
    assert (await put(site.caller, 0, "hello/versions/1.0.0")).status == 200
    answer = await call(site)
    assert (answer.status, answer.body["message"]) == (503, "Agent hello: every version has weight 0")
    assert (site.one.calls, site.two.calls) == ([], [])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"weight": -1}', RANGE),
        (b'{"weight": 10001}', RANGE),
        (b'{"weight": 1e18}', RANGE),
        (b'{"weight": 100000000000000000000000000000}', RANGE),
        (b'{"weight": 1.5}', REQUIRED),
        (b'{"weight": "5"}', REQUIRED),
        (b'{"weight": null}', REQUIRED),
        (b'{"weight": true}', REQUIRED),
        (b'{"weight": [5]}', REQUIRED),
        (b'{"weight": {}}', REQUIRED),
        (b'{"wieght": 5}', REQUIRED),
        (b"{}", REQUIRED),
        (b"[]", None),
        (b"5", None),
        (b"", None),
        (b"{", None),
        (b'{"weight": 1e999}', None),
        (b'{"weight": 5, "weight": 6}', None),
        (b'{"weight": "\xff"}', None),
    ],
    ids=repr,
)
async def test_a_wrong_weight_is_400_and_changes_nothing(
    site: Site, body: bytes, told: dict[str, str] | None
) -> None:
    for prefix in PREFIXES:
        path = f"{prefix}/reasoners/hello/versions/2.0.0/weight"
        answer = await site.caller.call("PUT", path, body)
        assert answer.status == 400, answer
        assert told is None or answer.body == told
        assert isinstance(answer.body["error"], str)
    if body.startswith(b'{"weight"') and told:
        several = b'{"weights": {"1.0.0": 1, "2.0.0": ' + body.partition(b": ")[2] + b"}"
        answer = await site.caller.call("PUT", "/connector/reasoners/hello/weights", several)
        assert (answer.status, answer.body) == (400, told)
    assert await site.weights() == UNCHANGED


async def test_a_whole_number_may_be_written_with_a_point(site: Site) -> None:
    assert (await put(site.caller, 500.0)).body["new_weight"] == 500


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nobody/versions/1.0.0", "agent not found"),
        ("hello/versions/9.9.9", "agent version not found"),
        ("hello/versions/1.0", "agent version not found"),
        ("hello.greet/versions/1.0.0", "agent not found"),
        (f"{quote('hello/../x', safe='')}/versions/1.0.0", "not_found"),
        (f"hello/versions/{quote('1.0.0/x', safe='')}", "not_found"),
        (f"{quote('ä ', safe='')}/versions/1.0.0", "agent not found"),
        (f"{'a' * 300}/versions/1.0.0", "agent not found"),
    ],
)
async def test_what_is_not_there_is_404_in_words(site: Site, path: str, told: str) -> None:
    for prefix in PREFIXES:
        for method, of in (("GET", path), ("PUT", f"{path}/weight")):
            body = b'{"weight": 5}' if method == "PUT" else None
            answer = await site.caller.call(method, f"{prefix}/reasoners/{of}", body)
            assert (answer.status, answer.body["error"]) == (404, told), (method, of, answer)
    assert await site.weights() == UNCHANGED


async def test_ids_with_dots_and_versions_with_plus_are_told_apart(site: Site) -> None:
    dotted = Node(site.api, id="hello.v2", version="1.0.0+build.5")
    try:
        await dotted.join()
        path = f"hello.v2/versions/{quote('1.0.0+build.5', safe='')}"
        assert (await put(site.caller, 7, path)).body["version"] == "1.0.0+build.5"
        assert await site.weights() == UNCHANGED
    finally:
        await dotted.close()


async def test_several_weights_are_set_at_once_or_not_at_all(site: Site) -> None:
    path = "/connector/reasoners/hello/weights"
    wrong = await site.caller.call("PUT", path, {"weights": {"1.0.0": 1, "9.9.9": 2}})
    assert (wrong.status, wrong.body) == (404, {"error": "agent version not found"})
    assert (await site.caller.call("PUT", path, {"weights": {}})).status == 400
    assert await site.weights() == UNCHANGED
    done = await site.caller.put(path, {"weights": {"1.0.0": 0, "2.0.0": 10_000}})
    assert done == {
        "success": True,
        "id": "hello",
        "previous_weights": UNCHANGED,
        "weights": {"1.0.0": 0, "2.0.0": 10_000},
        "shares": {"1.0.0": 0.0, "2.0.0": 100.0},
    }
    assert set(await routed(site, 5)) == {"2.0.0"}


async def test_who_saw_other_weights_is_told_and_changes_nothing(site: Site) -> None:
    path = "/connector/reasoners/hello"
    seen = (await site.caller.call("GET", f"{path}/versions")).headers["etag"]
    first = await put(site.caller, 100, headers={"If-Match": seen})
    late = await put(site.caller, 200, headers={"If-Match": seen})
    assert (first.status, late.status, late.body["error"]) == (200, 412, "weights_changed")
    assert late.headers["etag"] == first.headers["etag"] != seen
    assert (await site.weights())["2.0.0"] == 100
    assert (await put(site.caller, 200, headers={"If-Match": f"W/{late.headers['etag']}"})).status == 200
    assert (await put(site.caller, 300, headers={"If-Match": "*"})).status == 200


async def test_of_many_at_once_who_saw_the_same_weights_one_wins(site: Site) -> None:
    for _ in range(5):
        seen = (await site.caller.call("GET", "/connector/reasoners/hello/versions")).headers["etag"]
        bodies = [{"weights": {"1.0.0": number, "2.0.0": 1_000 - number}} for number in range(1, 21)]
        path, headers = "/connector/reasoners/hello/weights", {"If-Match": seen}
        answers = await asyncio.gather(
            *(site.caller.call("PUT", path, body, headers=headers) for body in bodies)
        )
        assert sorted(answer.status for answer in answers) == [200] + [412] * 19
        (won,) = [
            body["weights"] for body, answer in zip(bodies, answers, strict=True) if answer.status == 200
        ]
        assert await site.weights() == won
        await put(site.caller, 0)


async def test_changes_are_in_the_journal_with_the_token_that_made_them(site: Site) -> None:
    caller = await site.connector("versions:write", agents=["hello"])
    await put(caller, 100)
    (event,) = (await site.api.get("/events?kind=agent.weights&group=hello"))["events"]
    assert event["principal"].startswith("connector:")
    assert event["data"] == {"old": {"2.0.0": None}, "new": {"2.0.0": 100}}


async def test_a_version_is_removed_once_it_takes_no_calls(site: Site) -> None:
    path = "/connector/reasoners/hello/versions"
    refused = await site.caller.call("DELETE", f"{path}/1.0.0")
    assert (refused.status, refused.body["error"]) == (409, "version_in_rotation")
    done = await site.caller.delete(f"{path}/2.0.0")
    assert done == {"success": True, "id": "hello", "version": "2.0.0"}
    assert (await site.caller.call("DELETE", f"{path}/2.0.0")).status == 404
    assert (await site.caller.get(path))["total"] == 1
    assert (await site.caller.call("DELETE", f"{path}/1.0.0?force=true")).status == 200
    assert (await site.caller.get("/connector/reasoners")) == {"reasoners": [], "total": 0}
