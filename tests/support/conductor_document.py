"""The published document of the conductor, walked through on any cluster.

Its requests are sent as they are written; the application is the guestbook, whose names they use, with one
small image in place of the published ones.
"""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stellwerk.release.clusters.kinds import Kind
from support.plane import Answer
from support.shop import Shop, open_shop

ROOT = Path(__file__).resolve().parents[2]
GUESTBOOK = ROOT / "examples" / "guestbook"
DOCUMENT = Path(__file__).with_name("documents") / "conductor.md"
NO_IMAGE = {"services": {"frontend": {"image": "registry.invalid/nowhere"}}}
REDIS = ("redis-master", "redis-slave")


@dataclass(frozen=True, slots=True)
class Example:
    """One request, and the answer that is shown."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    answer: Any


def read_examples() -> dict[str, Example]:
    """Read every example of the document, by its title."""
    sections = DOCUMENT.read_text().split("\n### ")[1:]
    return {section.split("\n", 1)[0]: _read(section) for section in sections}


def _read(section: str) -> Example:
    command = re.search(r"```bash\n(.+?)\n```", section, re.DOTALL)
    answer = re.search(r"```json\n(.+?)\n```", section, re.DOTALL)
    assert command is not None
    words = iter(shlex.split(command[1].replace("\\\n", " "))[1:])
    method, path, headers, body = None, "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words).encode()
        else:
            path = word.removeprefix("http://localhost:8081")
    shown = json.loads(answer[1]) if answer else None
    return Example(method or ("GET" if body is None else "POST"), path, headers, body, shown)


def guestbook_files() -> dict[str, str]:
    """Read the example's files, with parameters for the one image that is at hand."""
    folder = GUESTBOOK / "manifests"
    found = {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}
    return {**found, "parameters.yaml": (GUESTBOOK / "parameters-busybox.yaml").read_text()}


@asynccontextmanager
async def guestbook(folder: Path, **conductor: Any) -> AsyncIterator[Shop]:
    """Serve the guestbook; what was deployed of it is removed afterwards."""
    async with open_shop(folder, files=guestbook_files(), patience_s=150.0, **conductor) as shop:
        try:
            yield shop
        finally:
            await shop.api.call("POST", "/api/down?timeoutSeconds=120", {"all": True})


async def walk_through(shop: Shop) -> None:
    """Send everything in the order in which a reader would, and check what comes back."""
    examples = read_examples()

    async def send(title: str) -> Answer:
        one = examples[title]
        return await shop.api.call(one.method, one.path, one.body, headers=dict(one.headers))

    alive = await send("Check conductor health")
    assert (alive.status, alive.body["status"]) == (200, "healthy")
    up = await send("Deploy services")
    assert up.status == 200, up
    assert up.body.items() >= examples["Deploy services"].answer.items()
    await _see_health(shop, send, "healthy")
    await _update_parameters(shop, send)
    await _fail(shop, send, examples["A deployment that fails"].answer)
    events = await send("Monitor events")
    assert len(events.body) == 10


async def _see_health(shop: Shop, send: Any, status: str) -> None:
    """Wait until the health of the frontend is so: it is watched, and told a moment later."""
    async with asyncio.timeout(60):
        while True:
            answer = await send("Get service health")
            found = {one["name"]: one for one in answer.body["services"]}
            assert {"name", "namespace", "status", "lastChecked"} <= found["frontend"].keys()
            assert found["frontend"]["namespace"] == "default"
            if found["frontend"]["status"] == status and found["redis-master"]["status"] == "healthy":
                return
            await asyncio.sleep(0.1)


async def _update_parameters(shop: Shop, send: Any) -> None:
    before = await send("Get current parameters")
    assert before.body["global"]["namespace"] == "default"
    stored = await send("Update parameters")
    assert (stored.status, stored.body["message"]) == (200, "Parameters updated successfully")
    updated = await send("Redeploy to apply changes")
    assert updated.status == 200, updated
    assert (await send("Get current parameters")).body["services"] == {"redis": {"replicas": 5}}
    live = {
        one["metadata"]["name"]: one["status"].get("readyReplicas")
        for one in await shop.cluster.list(Kind("Deployment", "apps"), namespace="default")
    }
    assert {name: live[name] for name in REDIS} == dict.fromkeys(REDIS, 5)
    assert live["frontend"] == 1


async def _fail(shop: Shop, send: Any, documented: Any) -> None:
    await shop.api.call("PATCH", "/api/parameters", NO_IMAGE)
    failed = await send("A deployment that fails")
    assert failed.status == 500
    assert {name: failed.body[name] for name in ("error", "message")} == {
        "error": documented["error"],
        "message": documented["message"],
    }
    assert failed.body["details"].items() >= documented["details"].items()
    await _see_health(shop, send, "unhealthy")
    for title in ("Query error events", "Get error events", "Filter by resource"):
        events = (await send(title)).body
        told = [one for one in events if one.get("resourceKey") == documented["details"]["resource"]]
        assert any(one.get("error") == documented["details"]["error"] for one in told), title
        assert all({"id", "timestamp", "type", "message"} <= one.keys() for one in events)
