"""What the connector shows of agents, and what of them it changes."""

from typing import Any

import pytest

from interfaces.connector.conftest import EVERYTHING, PREFIXES, Site
from stellwerk import __version__
from support.node import Node
from support.plane import Caller

TIMES = ("last_heartbeat", "registered_at")


@pytest.fixture(params=PREFIXES)
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def version_row(site: Site, version: str, weight: int | None, share: float) -> dict[str, Any]:
    """A version as the lists show it, without its times."""
    node = site.one if version == "1.0.0" else site.two
    return {
        "version": version,
        "traffic_weight": weight,
        "share_percent": share,
        "health_status": "active",
        "lifecycle_status": "ready",
        "base_url": node.url,
        "base_urls": [node.url],
        "instances": [node.instance],
        "running": 0,
        "figures": {
            "window_s": 300,
            "calls": 0,
            "errors": 0,
            "p50_ms": None,
            "p95_ms": None,
            "p99_ms": None,
        },
    }


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


async def test_each_prefix_tells_in_its_own_shape_what_the_token_may(site: Site) -> None:
    caller = await site.connector("versions:read", "versions:write", "reasoners:read", agents=["hello"])
    documented = await caller.get("/connector/manifest")
    assert documented == {
        "connector_enabled": True,
        "control_plane_version": __version__,
        "name": "test",
        "capabilities": ["reasoners:read", "versions:read", "versions:write"],
        "agents": ["hello"],
        "expires_at": None,
    }
    coded = await caller.get("/api/v1/connector/manifest")
    assert coded["control_plane_version"] == __version__
    assert coded["features"] == {"did_enabled": False, "authorization_enabled": False}
    assert coded["capabilities"]["reasoner_management"] == {"enabled": True, "read_only": True}
    assert coded["capabilities"]["status_read"] == {"enabled": True, "read_only": False}
    assert coded["capabilities"]["tag_management"] == {"enabled": False, "read_only": False}
    assert (await site.caller.get("/connector/manifest"))["capabilities"] == EVERYTHING


async def test_agents_and_versions_are_shown_as_published(site: Site, prefix: str) -> None:
    rows = [version_row(site, "1.0.0", 900, 100.0), version_row(site, "2.0.0", None, 0.0)]
    listed = await site.caller.get(f"{prefix}/reasoners/hello/versions")
    assert (listed["id"], listed["total"], timeless(listed["versions"])) == ("hello", 2, rows)
    functions = {
        "reasoners": [{"id": "greet", "tags": [], "input_schema": {"type": "object"}}],
        "skills": [{"id": "upper", "tags": [], "input_schema": {"type": "object"}}],
    }
    named = {"group_id": "hello", "team_id": "default", **functions}
    metadata = {"deployment": {"platform": "python"}, "custom": {}}
    everything = await site.caller.get(f"{prefix}/reasoners")
    expected = [{**row, **named, "node_id": "hello", "metadata": metadata} for row in rows]
    assert (everything["total"], timeless(everything["reasoners"])) == (2, expected)
    shown = await site.caller.get(f"{prefix}/reasoners/hello/versions/2.0.0")
    assert timeless([shown]) == [{**rows[1], **named, "id": "hello"}]
    detail = await site.caller.get(f"{prefix}/reasoners/hello")
    leading = {name: rows[0][name] for name in ("version", "health_status", "lifecycle_status", "base_url")}
    assert {**detail, "versions": timeless(detail["versions"])} == {
        "id": "hello",
        **leading,
        **named,
        "versions": rows,
        "metadata": metadata,
        "sticky": False,
        "concurrency": None,
        "supervisor": None,
    }
    for path in ("groups/hello", "groups/hello/nodes"):
        nodes = await site.caller.get(f"{prefix}/{path}")
        assert (nodes["total"], timeless(nodes["nodes"])) == (2, expected)
    agents = await site.caller.get(f"{prefix}/nodes")
    assert timeless(agents["agents"]) == [{**row, "id": "hello"} for row in expected]
    assert await site.caller.get(f"{prefix}/nodes/hello/status") == {
        "id": "hello",
        "group_id": "hello",
        "health_status": "active",
        "lifecycle_status": "ready",
        "version": "1.0.0",
    }


async def test_groups_are_agents_of_a_team(site: Site, prefix: str) -> None:
    row = {"group_id": "hello", "team_id": "default", "node_count": 2, "versions": ["1.0.0", "2.0.0"]}
    assert await site.caller.get(f"{prefix}/groups") == {"groups": [row], "total": 1}
    assert await site.caller.get(f"{prefix}/groups?team_id=other") == {"groups": [], "total": 0}


async def test_where_nothing_is_lists_are_empty_and_never_null(site: Site, prefix: str) -> None:
    caller = await site.connector(*EVERYTHING, agents=["nobody"])
    for path, name in (("reasoners", "reasoners"), ("groups", "groups"), ("nodes", "agents")):
        assert await caller.get(f"{prefix}/{path}") == {name: [], "total": 0}
    assert await caller.get(f"{prefix}/groups/nobody/nodes") == {"nodes": [], "total": 0}
    assert await caller.get(f"{prefix}/reasoners/nobody/restarts") == {"restarts": [], "total": 0}
    for path in ("reasoners/nobody", "groups/nobody", "nodes/nobody/status", "reasoners/nobody/versions"):
        answer = await caller.call("GET", f"{prefix}/{path}")
        assert (answer.status, answer.body) == (404, {"error": "agent not found"})


async def pages(caller: Caller, path: str, name: str) -> list[list[dict[str, Any]]]:
    """Read a list page by page, one agent a page."""
    found, after = [], ""
    while True:
        page = await caller.get(f"{path}?limit=1{after}")
        found.append(page[name])
        if "next" not in page:
            return found
        after = f"&after={page['next']}"


async def test_lists_are_read_in_pages_of_whole_agents(site: Site, prefix: str) -> None:
    for name in ("abel", "zoe"):
        await Node(site.api, id=name).register()
    for path, name in (("reasoners", "reasoners"), ("groups", "groups"), ("nodes", "agents")):
        whole = await site.caller.get(f"{prefix}/{path}")
        found = await pages(site.caller, f"{prefix}/{path}", name)
        assert [row for page in found for row in page] == whole[name]
        assert [{row["group_id"] for row in page} for page in found] == [{"abel"}, {"hello"}, {"zoe"}]
        page = await site.caller.get(f"{prefix}/{path}?limit=2&after=abel")
        assert (page["total"], "next" in page) == (whole["total"], False)
        assert (await site.caller.get(f"{prefix}/{path}?after=zoe"))[name] == []


async def test_a_page_goes_on_where_agents_were_removed(site: Site) -> None:
    for name in ("abel", "zoe"):
        await Node(site.api, id=name).register()
    page = await site.caller.get("/connector/groups?limit=1")
    await site.caller.delete("/connector/reasoners/abel/versions/1.0.0?force=true")
    page = await site.caller.get(f"/connector/groups?limit=1&after={page['next']}")
    assert [row["group_id"] for row in page["groups"]] == ["hello"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=", "limit=-1"])
async def test_a_page_that_makes_no_sense_is_400(site: Site, query: str) -> None:
    for path in ("reasoners", "groups", "nodes"):
        assert (await site.caller.call("GET", f"/connector/{path}?{query}")).status == 400


async def test_a_version_that_left_is_shown_as_it_is(site: Site) -> None:
    await site.two.close()
    await site.two.beat("offline")
    shown = await site.caller.get("/connector/reasoners/hello/versions/2.0.0")
    assert (shown["health_status"], shown["lifecycle_status"]) == ("inactive", "offline")
    other = await site.caller.get("/connector/reasoners/hello/versions/1.0.0")
    assert (other["health_status"], other["share_percent"]) == ("active", 100.0)


async def change(caller: Caller, prefix: str, body: Any) -> Any:
    return await caller.call("PATCH", f"{prefix}/reasoners/hello", body)


async def test_options_are_changed_one_by_one_and_given_back_by_null(site: Site, prefix: str) -> None:
    supervisor = {"kind": "systemd"}
    done = await change(site.caller, prefix, {"sticky": True, "concurrency": 5, "supervisor": supervisor})
    assert done.status == 200, done
    changed = (done.body["sticky"], done.body["concurrency"], done.body["supervisor"])
    assert changed == (True, 5, supervisor)
    done = await change(site.caller, prefix, {"metadata": {"owner": "team-a"}, "concurrency": None})
    assert (done.body["sticky"], done.body["concurrency"]) == (True, None)
    assert done.body["metadata"]["owner"] == "team-a"
    done = await change(site.caller, prefix, {"sticky": None, "supervisor": None, "metadata": None})
    assert (done.body["sticky"], done.body["supervisor"]) == (False, None)
    assert "owner" not in done.body["metadata"]


async def test_sticky_sessions_stay_with_a_version(site: Site) -> None:
    await site.caller.put("/connector/reasoners/hello/weights", {"weights": {"1.0.0": 500, "2.0.0": 500}})
    await change(site.caller, "/connector", {"sticky": True})
    found = []
    for session in ("a", "b", "c", "d", "e", "f", "g", "h"):
        headers = {"X-Session-ID": session}
        answers = [
            await site.api.call("POST", "/api/v1/execute/hello.greet", {"input": {}}, headers=headers)
            for _ in range(4)
        ]
        versions = {answer.headers["x-routed-version"] for answer in answers}
        assert len(versions) == 1
        found += versions
    assert set(found) == {"1.0.0", "2.0.0"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": 100_001},
        {"concurrency": "5"},
        {"sticky": "yes"},
        {"metadata": []},
        {"metadata": {"x": "y" * 70_000}},
        {"supervisor": "systemd"},
        {"stickey": True},
        [],
    ],
    ids=str,
)
async def test_wrong_options_are_400_and_change_nothing(site: Site, wrong: Any) -> None:
    before = await site.caller.get("/connector/reasoners/hello")
    answer = await change(site.caller, "/connector", wrong)
    assert answer.status == 400, answer
    after = await site.caller.get("/connector/reasoners/hello")
    assert (after["sticky"], after["concurrency"], after["metadata"], after["supervisor"]) == (
        before["sticky"],
        before["concurrency"],
        before["metadata"],
        before["supervisor"],
    )


async def test_an_agent_says_its_version_itself(site: Site, prefix: str) -> None:
    answer = await site.caller.call("PUT", f"{prefix}/reasoners/hello/version", {"version": "3.0.0"})
    assert (answer.status, answer.body["error"]) == (409, "version_is_the_agents")
    await site.caller.delete(f"{prefix}/reasoners/hello/versions/2.0.0")
    done = await site.caller.put(f"{prefix}/reasoners/hello/version", {"version": "1.0.0"})
    assert done == {"success": True, "previous_version": "1.0.0"}
    assert (await site.caller.call("PUT", f"{prefix}/reasoners/hello/version", {})).status == 400
