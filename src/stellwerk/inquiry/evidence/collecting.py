"""Collecting a bundle.

Theory of operation. First the lists of the target's namespace are read, all at once: twenty calls,
whatever its size. From them follows what is around the target (`neighbourhood`), and from that what is
still to be read by name: Secrets, classes, volumes, nodes, webhooks that refuse, the namespaces of others
that it calls. Then come logs, the most telling first, and last what only their words ask for: the rights of
an account that was denied. Each round goes as far as the budget, and what it leaves out is a gap.

Only what is around the target is kept. ConfigMaps that nobody around it uses stay as outlines: a name that
was misspelt can be told only beside the right one.
"""

import asyncio
from collections.abc import Callable

from stellwerk.clock import Clock
from stellwerk.inquiry.evidence.asking import further, neighbours, roles, webhooks
from stellwerk.inquiry.evidence.collection import Collection
from stellwerk.inquiry.evidence.keeping import bundle_of
from stellwerk.inquiry.evidence.logs import LogPlace, places
from stellwerk.inquiry.evidence.masking import mask_text
from stellwerk.inquiry.evidence.measuring import Metrics, read_metrics
from stellwerk.inquiry.evidence.meter import Meter
from stellwerk.inquiry.evidence.reading import KNOWN_KINDS, NAMESPACE_KINDS, NEIGHBOUR_KINDS
from stellwerk.inquiry.model import Budget, Bundle, LogText, Target
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.conditions import part
from stellwerk.release.objects import group_of

RESERVED_FOR_LOGS = 20
"""Calls that reading by name leaves over: logs tell more than the tenth class."""
REMOVED = "unable to retrieve container logs"
"""What a node answers, as if it were a log, where it has removed the container."""
LONGEST_LINE = 2_000
"""Characters of one line of a log: a record as JSON, and no file that somebody printed."""
IN_THREAD = 65_536
"""Characters from which on a text is masked beside the loop, so that others are answered meanwhile."""
LAST_CALLS = 6
"""Calls that logs leave over for what their words ask for."""


async def collect(
    cluster: Cluster,
    target: Target,
    *,
    budget: Budget,
    clock: Clock,
    progress: Callable[[str], None] = lambda _: None,
    sealing_key: bytes | None = None,
    metrics: Metrics | None = None,
) -> Bundle:
    """Collect what concerns a target; see `Detective.collect`.

    `sealing_key`: for the hashes of Secrets' values, which tell only whether two are equal; None keeps none.
    `metrics`: what measures the cluster; None where nothing does.
    """
    meter = Meter(cluster, budget)
    collection = Collection(meter, target, clock.now_us(), sealing_key)
    progress(f"reading the objects around {target.object}")
    await _read_first(collection)
    if meter.failure is not None and meter.answers == 0:
        raise meter.failure
    progress("reading what they name")
    await _read_named(collection)
    reads = [_read_logs(collection, progress)]
    if metrics is not None:
        reads.append(read_metrics(collection, metrics))
    await asyncio.gather(*reads)
    await _read_asked_for(collection)
    # In a thread: megabytes are masked, and others are answered meanwhile. Nothing is added any more.
    return await asyncio.to_thread(bundle_of, collection, budget)


async def _read_first(collection: Collection) -> None:
    target, meter = collection.target.object, collection.meter
    namespace = target.name if target.kind == "Namespace" else target.namespace
    calls = [_target(collection)]
    if namespace:
        calls.append(_one(collection, Kind("Namespace"), "", namespace))
        calls += [_all(collection, kind, namespace) for kind in NAMESPACE_KINDS]
    elif target.kind == "Node":
        calls += [_all(collection, Kind("Pod"), None), _all(collection, Kind("Event"), "default")]
    await asyncio.gather(*calls)
    _only_once(collection)
    if meter.failure is None and target.kind == "Node":
        collection.replace(
            [
                body
                for body in collection.objects
                if body.get("kind") != "Pod" or part(body, "spec").get("nodeName") == target.name
            ]
        )


async def _target(collection: Collection) -> None:
    """Read the target itself where no list of the first round holds it."""
    target = collection.target.object
    known = KNOWN_KINDS.get(target.kind)
    if (target.namespace and known in NAMESPACE_KINDS) or target.kind == "Namespace":
        return
    kind = Kind(target.kind, group_of(target.api_version)) if target.api_version else known
    if kind is not None:
        collection.add([await collection.meter.get(kind, target.namespace, target.name)])


async def _read_named(collection: Collection) -> None:
    facts = collection.facts()
    await asyncio.gather(*(_all(collection, kind, namespace) for kind, namespace in webhooks(facts)))
    left = max(0, collection.meter.calls_left - RESERVED_FOR_LOGS)
    wanted = further(collection.facts(), collection.around())
    for one in wanted[left:]:
        collection.meter.omit(f"{one.kind.kind}/{one.name}")
    await asyncio.gather(
        *(_one(collection, *one) if one.name else _all(collection, one.kind, None) for one in wanted[:left])
    )
    for namespace in neighbours(collection.facts(), collection.around()):
        await asyncio.gather(*(_all(collection, kind, namespace) for kind in NEIGHBOUR_KINDS))


async def _read_logs(collection: Collection, progress: Callable[[str], None]) -> None:
    meter = collection.meter
    wanted = places(collection.facts(), collection.around())
    left = max(0, meter.calls_left - LAST_CALLS)
    if wanted:
        progress(f"reading logs of {len({place.pod for place in wanted[:left]})} pods")
    for place in wanted[left:]:
        meter.omit(f"log of {place.container} in {place.namespace}/{place.pod}")
    read = await asyncio.gather(*(_log(meter, place) for place in wanted[:left]))
    collection.keep_logs({(one.pod, one.container, one.text): one for one in read if one}.values())


async def _log(meter: Meter, place: LogPlace) -> LogText | None:
    """Read a log; one of a run that the node has removed meanwhile is looked for in the other run."""
    for previous in (place.previous, not place.previous):
        text = await meter.logs(place.namespace, place.pod, place.container, previous=previous)
        if text is None:
            return None
        if text.strip() and not text.startswith(REMOVED):
            return LogText(
                namespace=place.namespace,
                pod=place.pod,
                container=place.container,
                previous=previous,
                text=await _readable(text),
            )
        if not text.startswith(REMOVED):
            return None
    return None


async def _readable(text: str) -> str:
    """Mask a log, and cut lines that are no lines; masked first, so that no half of a secret is left."""
    if len(text) > IN_THREAD:
        return await asyncio.to_thread(_short_lines, text)
    return _short_lines(text)


def _short_lines(text: str) -> str:
    lines = mask_text(text).splitlines(keepends=True)
    return "".join(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…\n" for line in lines)


async def _read_asked_for(collection: Collection) -> None:
    facts = collection.facts()
    await asyncio.gather(*(_all(collection, kind, namespace) for kind, namespace in roles(facts)))
    for namespace in neighbours(collection.facts(), collection.around()):
        await asyncio.gather(*(_all(collection, kind, namespace) for kind in NEIGHBOUR_KINDS))
    _only_once(collection)


async def _all(collection: Collection, kind: Kind, namespace: str | None) -> None:
    collection.add(await collection.meter.list(kind, namespace))


async def _one(collection: Collection, kind: Kind, namespace: str, name: str) -> None:
    collection.add([await collection.meter.get(kind, namespace, name)])


def _only_once(collection: Collection) -> None:
    """Drop what two rounds have read, keeping the later one."""
    by_id = {
        (body.get("kind"), part(body, "metadata").get("namespace"), part(body, "metadata").get("name")): body
        for body in collection.objects
    }
    collection.replace(list(by_id.values()))
