"""Calls and watches go on when the API server stumbles; what ends them is told as what it is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from stellwerk.release.clusters.cluster import Changed
from stellwerk.release.clusters.errors import ClusterUnavailable, Refused, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.access import Access, Credentials, Fixed, FromFile
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.clusters.kubernetes.transport import Call, Patience, Transport
from stellwerk.release.objects import Key

QUICK = Patience(call_s=2.0, connect_s=1.0, within_s=1.0, first_pause_s=0.01, longest_pause_s=0.05)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """An API server that answers as a test says; every request is kept."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.answers: dict[str, list[Handler]] = {}
        self.address = ""

    def says(self, path: str, *handlers: Handler) -> None:
        """Answer requests of a path one by one, the last answer for ever."""
        self.answers[path] = list(handlers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        handlers = self.answers.get(request.path)
        if not handlers:
            return web.Response(status=404, text="404 page not found")
        return await (handlers.pop(0) if len(handlers) > 1 else handlers[0])(request)

    def cluster(self, credentials: Credentials | None = None) -> KubernetesCluster:
        return KubernetesCluster(self.access(credentials), QUICK)

    def access(self, credentials: Credentials | None = None) -> Access:
        return Access("lab", self.address, None, credentials or Fixed())


def answer(body: Any, status: int = 200, **headers: str) -> Handler:
    async def give(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(body), status=status, headers=headers)

    return give


def stream(*events: Any) -> Handler:
    """A watch that tells these and ends."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(msgspec.json.encode(event) + b"\n")
        return response

    return give


async def silence(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def config_map(name: str, version: int, uid: str = "u") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "a", "uid": f"{uid}-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def listed(version: int, *items: Any, following: str = "") -> Handler:
    return answer(
        {"metadata": {"resourceVersion": str(version), "continue": following}, "items": list(items)}
    )


def either(listing: list[Handler], watching: list[Handler]) -> Handler:
    """Answer lists and watches of one path, each with its own answers in turn."""

    async def give(request: web.Request) -> web.StreamResponse:
        handlers = watching if "watch" in request.query else listing
        return await (handlers.pop(0) if len(handlers) > 1 else handlers[0])(request)

    return give


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """An API server that serves the core's ConfigMaps until told otherwise."""
    made = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    made.says("/api", answer({"kind": "APIVersions", "versions": ["v1"]}))
    made.says("/apis", answer({"kind": "APIGroupList", "groups": []}))
    resource = {
        "name": "configmaps",
        "kind": "ConfigMap",
        "namespaced": True,
        "verbs": ["get", "list", "watch"],
    }
    made.says("/api/v1", answer({"resources": [resource]}))
    yield made
    await runner.cleanup()


async def told(cluster: KubernetesCluster, count: int) -> list[Changed]:
    """The first things that a watch of all ConfigMaps tells."""
    changes = []
    async with asyncio.timeout(10), aclosing(cluster.watch(Kind("ConfigMap"))) as watch:
        async for change in watch:
            changes.append(change)
            if len(changes) == count:
                break
    await cluster.close()
    return changes


def shown(changes: list[Changed]) -> list[tuple[str, str]]:
    return [(one.type, one.object.get("metadata", {}).get("name", "")) for one in changes]


async def test_a_server_that_stumbles_is_asked_again(server: Server) -> None:
    busy = answer({"message": "slow down"}, 429, **{"Retry-After": "0"})
    server.says("/version", answer({}, 503), hang_up, busy, answer({"gitVersion": "v1.30.1"}))
    cluster = server.cluster()

    assert await cluster.version() == "v1.30.1"

    assert len(server.asked) == 4
    await cluster.close()


async def test_what_does_not_recover_is_unavailable_with_when_to_come_back(server: Server) -> None:
    server.says("/version", answer({}, 503, **{"Retry-After": "9"}))
    cluster = server.cluster()

    with pytest.raises(ClusterUnavailable) as raised:
        await cluster.version()

    assert raised.value.retry_after_s == 9.0
    assert len(server.asked) == 1
    await cluster.close()


async def test_a_server_that_is_not_there_is_unavailable(unused_tcp_port: int) -> None:
    cluster = KubernetesCluster(Access("lab", f"http://127.0.0.1:{unused_tcp_port}", None, Fixed()), QUICK)

    with pytest.raises(ClusterUnavailable, match="cannot be reached"):
        await cluster.version()

    await cluster.close()


async def test_a_refusal_is_not_asked_again(server: Server) -> None:
    server.says("/version", answer({"kind": "Status", "message": "no"}, 403))
    cluster = server.cluster()

    with pytest.raises(Refused):
        await cluster.version()

    assert len(server.asked) == 1
    await cluster.close()


async def test_an_answer_that_leads_elsewhere_is_not_followed(server: Server) -> None:
    server.says("/version", answer({}, 302, Location="/elsewhere"))
    cluster = server.cluster(Fixed("Bearer secret"))

    with pytest.raises(Refused):
        await cluster.version()

    assert [request.path for request in server.asked] == ["/version"]
    await cluster.close()


async def test_a_token_that_was_replaced_is_read_again(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    cluster = server.cluster(FromFile(token))
    server.says(
        "/version", answer({"gitVersion": "v1.30.1"}), answer({}, 401), answer({"gitVersion": "v1.30.2"})
    )
    await cluster.version()
    token.write_text("new\n")

    assert await cluster.version() == "v1.30.2"

    assert [request.headers["Authorization"] for request in server.asked] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]
    await cluster.close()


async def test_a_deletion_that_was_lost_on_the_way_back_counts_as_done(server: Server) -> None:
    server.says("/api/v1/namespaces/a/configmaps/b", hang_up, answer({}, 404))
    cluster = server.cluster()

    assert await cluster.delete(Key("a", "ConfigMap", "b"))

    await cluster.close()


async def test_a_dead_api_group_stops_only_itself(server: Server) -> None:
    dead = {"name": "metrics.example", "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}}
    server.says("/apis", answer({"kind": "APIGroupList", "groups": [dead]}))
    server.says("/apis/metrics.example/v1", answer({}, 503, **{"Retry-After": "9"}))
    cluster = server.cluster()

    assert (await cluster.resolve(Kind("ConfigMap"))).plural == "configmaps"
    with pytest.raises(ClusterUnavailable, match=r"metrics\.example"):
        await cluster.resolve(Kind("Metric", "metrics.example"))
    with pytest.raises(UnknownKind):
        await cluster.resolve(Kind("Metric", "other.example"))
    await cluster.close()


async def test_newer_servers_tell_all_kinds_in_two_answers(server: Server) -> None:
    def group(name: str, kind: str, plural: str) -> dict[str, Any]:
        resource = {
            "resource": plural,
            "responseKind": {"group": "", "version": "", "kind": kind},
            "scope": "Namespaced",
            "verbs": ["get"],
            "subresources": [{"subresource": "status"}],
        }
        return {"metadata": {"name": name}, "versions": [{"version": "v1", "resources": [resource]}]}

    whole = {"kind": "APIGroupDiscoveryList"}
    server.says("/api", answer(whole | {"items": [group("", "Pod", "pods")]}))
    server.says("/apis", answer(whole | {"items": [group("apps", "Deployment", "deployments")]}))
    cluster = server.cluster()

    found = await cluster.resolve(Kind("Deployment", "apps"))

    assert (found.api_version, found.plural, found.subresources) == ("apps/v1", "deployments", {"status"})
    assert len(server.asked) == 2
    await cluster.close()


async def test_a_list_is_read_page_by_page(server: Server) -> None:
    pages = [listed(5, config_map("a", 1), following="more"), listed(5, config_map("b", 2))]
    server.says("/api/v1/configmaps", *pages)
    cluster = server.cluster()

    items = await cluster.list(Kind("ConfigMap"))

    assert [item["metadata"]["name"] for item in items] == ["a", "b"]
    assert [request.query.get("continue") for request in server.asked[-2:]] == [None, "more"]
    await cluster.close()


async def test_a_list_whose_rest_was_forgotten_is_read_anew(server: Server) -> None:
    gone = answer({"kind": "Status", "code": 410, "message": "expired"}, 410)
    first = listed(5, config_map("a", 1), following="more")
    server.says("/api/v1/configmaps", first, gone, listed(9, config_map("a", 1), config_map("b", 2)))
    cluster = server.cluster()

    items = await cluster.list(Kind("ConfigMap"))

    assert [item["metadata"]["name"] for item in items] == ["a", "b"]
    await cluster.close()


async def test_a_watch_goes_on_from_the_last_version_that_was_told(server: Server) -> None:
    first = stream(
        {"type": "MODIFIED", "object": config_map("a", 7)},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
    )
    second = stream({"type": "DELETED", "object": config_map("a", 10)})
    server.says("/api/v1/configmaps", either([listed(5, config_map("a", 1))], [first, second, silence]))

    changes = await told(server.cluster(), 4)

    assert shown(changes) == [("added", "a"), ("listed", ""), ("modified", "a"), ("deleted", "a")]
    versions = [request.query["resourceVersion"] for request in server.asked if "watch" in request.query]
    assert versions == ["5", "9"]


async def test_what_a_watch_missed_is_made_up_from_a_new_list(server: Server) -> None:
    expired = stream({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
    before = listed(
        5, config_map("kept", 1), config_map("changed", 2), config_map("gone", 3), config_map("new", 4)
    )
    after = listed(
        9,
        config_map("kept", 1),
        config_map("changed", 6),
        config_map("new", 7, uid="v"),
        config_map("fresh", 8),
    )
    server.says("/api/v1/configmaps", either([before, after], [expired, silence]))

    changes = await told(server.cluster(), 11)

    assert sorted(shown(changes[5:10])) == [
        ("added", "fresh"),
        ("added", "new"),
        ("deleted", "gone"),
        ("deleted", "new"),
        ("modified", "changed"),
    ]
    assert changes[10].type == "listed"


async def test_a_watch_tells_that_the_cluster_is_away_and_when_it_is_back(server: Server) -> None:
    back = stream({"type": "ADDED", "object": config_map("b", 6)})
    watching = [hang_up, hang_up, back, silence]
    server.says("/api/v1/configmaps", either([listed(5, config_map("a", 1))], watching))

    changes = await told(server.cluster(), 5)

    assert shown(changes) == [("added", "a"), ("listed", ""), ("lost", ""), ("listed", ""), ("added", "b")]


async def test_a_change_of_any_size_is_told(server: Server) -> None:
    large = config_map("a", 6) | {"data": {"text": "x" * 1_400_000}}
    server.says(
        "/api/v1/configmaps", either([listed(5)], [stream({"type": "ADDED", "object": large}), silence])
    )

    changes = await told(server.cluster(), 2)

    assert changes[1].object["data"] == large["data"]


async def test_a_watch_without_the_right_to_it_is_refused(server: Server) -> None:
    server.says("/api/v1/configmaps", answer({"kind": "Status", "message": "no"}, 403))

    with pytest.raises(Refused):
        await told(server.cluster(), 1)


async def test_calls_that_wait_for_their_turn_are_not_late(server: Server) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response(body=b"{}")

    server.says("/slow", slow)
    transport = Transport(server.access(), Patience(call_s=0.6, within_s=0.0))

    answers = await asyncio.gather(*(transport.call(Call("GET", "/slow")) for _ in range(320)))

    assert len(answers) == 320
    await transport.close()
