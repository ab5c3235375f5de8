"""A watch that has no end and no gap, made of lists and of streams that have both.

Theory of operation. A list tells what is there and at which version of the cluster. A stream from that
version tells what happens after it; the server ends it every few minutes, and the next one goes on from the
last version that was told (bookmarks move it on where nothing happens). If that version is too old (410),
everything is listed again, and what a consumer would have seen is made up from the difference: hence the
small table of what was told. While the server cannot be reached the consumer is told `lost` once, and
`listed` when it is up to date again.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import aiohttp
import msgspec

from stellwerk.release.clusters.cluster import Changed, ChangeType
from stellwerk.release.clusters.errors import ClusterUnavailable
from stellwerk.release.clusters.kubernetes.refusals import failure_of
from stellwerk.release.clusters.kubernetes.transport import Call, Transport
from stellwerk.release.objects import Body

STREAM_S = 240
"""Length of one stream; the server would end it between 30 and 60 minutes."""
SILENCE_S = STREAM_S + 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0

_TYPES: dict[str, ChangeType] = {"ADDED": "added", "MODIFIED": "modified", "DELETED": "deleted"}

Listing = Callable[[], Awaitable[tuple[Sequence[Body], str]]]
"""Reads everything, and the version at which it was so."""


class Expired(Exception):
    """The server no longer knows what happened after the version that we have."""


class Watch:
    """One watch; see the module."""

    def __init__(self, transport: Transport, listing: Listing, call: Call) -> None:
        """`call`: the request of the stream without its version."""
        self._transport = transport
        self._listing = listing
        self._call = call
        self._told: dict[tuple[str, str], Body] = {}
        self._version: str | None = None
        self._lost = False
        self._pause_s = FIRST_PAUSE_S

    async def changes(self) -> AsyncGenerator[Changed, None]:
        """Tell what there is and what happens. Raises Refused and UnknownKind."""
        while True:
            try:
                if self._version is None:
                    items, version = await self._listing()
                    for change in self._difference(items):
                        yield change
                    self._version = version
                    yield self._well()
                async for change in self._stream(self._version):
                    yield change
            except Expired:
                self._version = None
            except ClusterUnavailable:
                if not self._lost:
                    self._lost = True
                    yield Changed("lost")
            await self._rest()

    async def _stream(self, version: str) -> AsyncGenerator[Changed, None]:
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(STREAM_S),
        }
        call = Call("GET", self._call.path, {**self._call.query, **query}, what=str(self._call))
        async with self._transport.stream(call, SILENCE_S) as content:
            if self._lost:
                yield self._well()
            async for line in _lines(content):
                self._pause_s = FIRST_PAUSE_S
                if change := self._change(line):
                    yield change

    def _change(self, line: bytes) -> Changed | None:
        event = msgspec.json.decode(line)
        body = event["object"]
        if event["type"] == "ERROR":
            code = int(body.get("code") or 500)
            if code == 410:
                raise Expired
            raise failure_of(code, msgspec.json.encode(body), str(self._call))
        self._version = body["metadata"]["resourceVersion"]
        if event["type"] not in _TYPES:
            return None  # a bookmark
        change = Changed(_TYPES[event["type"]], body)
        self._remember(change)
        return change

    def _remember(self, change: Changed) -> None:
        name = _name(change.object)
        if change.type == "deleted":
            self._told.pop(name, None)
        else:
            self._told[name] = _trace(change.object)

    def _difference(self, items: Sequence[Body]) -> list[Changed]:
        """List what a consumer missed between what it was told and this."""
        now = {_name(item): item for item in items}
        changes = [Changed("deleted", trace) for name, trace in self._told.items() if name not in now]
        for name, item in now.items():
            trace = self._told.get(name)
            if trace is None:
                changes.append(Changed("added", item))
            elif trace["metadata"]["uid"] != item["metadata"]["uid"]:
                changes += [Changed("deleted", trace), Changed("added", item)]
            elif trace["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                changes.append(Changed("modified", item))
        self._told = {name: _trace(item) for name, item in now.items()}
        return changes

    def _well(self) -> Changed:
        self._lost = False
        return Changed("listed")

    async def _rest(self) -> None:
        """Wait a moment, longer each time that nothing comes: a server may end every stream at once."""
        await asyncio.sleep(self._pause_s * random.random())  # noqa: S311  it spreads pauses and guards no secret
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Split a stream into lines of any length.

    The library's own way ends at 128 KiB; an object may have 1.5 MiB.
    """
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        head, *rest = chunk.split(b"\n")
        parts.append(head)
        for next_head in rest:
            if line := b"".join(parts):
                yield line
            parts = [next_head]


def _name(body: Body) -> tuple[str, str]:
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _trace(body: Body) -> Body:
    """Return what tells a state of an object from another, and names it should it be gone."""
    metadata = {
        name: body["metadata"].get(name) for name in ("name", "namespace", "uid", "resourceVersion", "labels")
    }
    return {"apiVersion": body.get("apiVersion"), "kind": body.get("kind"), "metadata": metadata}
