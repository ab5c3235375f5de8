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
from collections.abc import Callable, Iterable, Sequence

from stellwerk.clock import Clock
from stellwerk.inquiry.evidence.asking import further, neighbours, roles, webhook_services, webhooks
from stellwerk.inquiry.evidence.changes import changes_of, revisions_of
from stellwerk.inquiry.evidence.logs import LogPlace, places
from stellwerk.inquiry.evidence.masking import mask_text, masked
from stellwerk.inquiry.evidence.meter import Meter, size_of
from stellwerk.inquiry.evidence.neighbourhood import Distances, neighbourhood
from stellwerk.inquiry.evidence.reading import KNOWN_KINDS, NAMESPACE_KINDS, NEIGHBOUR_KINDS
from stellwerk.inquiry.evidence.sealing import sealed
from stellwerk.inquiry.evidence.trimming import outlined, trimmed
from stellwerk.inquiry.facts.aiming import aims
from stellwerk.inquiry.facts.facts import Facts, event_at
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.model import Budget, Bundle, Change, LogText, ObjectRef, Target
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body, group_of

RESERVED_FOR_LOGS = 20
"""Calls that reading by name leaves over: logs tell more than the tenth class."""
MOST_EVENTS = 20
"""About one object."""
REMOVED = "unable to retrieve container logs"
"""What a node answers, as if it were a log, where it has removed the container."""
LAST_CALLS = 6
"""Calls that logs leave over for what their words ask for."""


class Collection:
    """One collecting; its objects grow from round to round."""

    def __init__(self, meter: Meter, target: Target, at: int, sealing_key: bytes | None) -> None:
        self.meter = meter
        self.target = target
        self.at = at
        self.objects: list[Body] = []
        self.changes: list[Change] = []
        self.logs: list[LogText] = []
        self._sealing_key = sealing_key
        self._known: Facts | None = None

    def add(self, bodies: Iterable[Body | None]) -> None:
        """Take objects as they were read; values of Secrets end here."""
        for body in bodies:
            if body is None:
                continue
            self._known = None
            self.changes += changes_of(body)
            kept = sealed(body, self._sealing_key) if body.get("kind") == "Secret" else body
            self.objects.append(trimmed(kept))

    def replace(self, objects: list[Body]) -> None:
        """Keep these objects only."""
        self._known = None
        self.objects = objects

    def facts(self) -> Facts:
        """Return what is known until now; made anew only after something was added."""
        if self._known is None:
            self._known = Facts(
                Bundle(
                    target=self.target,
                    at=self.at,
                    objects=tuple(self.objects),
                    logs=tuple(self.logs),
                    gaps=tuple(self.meter.gaps),
                )
            )
        return self._known

    def keep_logs(self, logs: Iterable[LogText]) -> None:
        """Take logs as they were read."""
        self._known = None
        self.logs += logs

    def around(self) -> Distances:
        """Tell what is around the target now."""
        facts = self.facts()
        asked = [named("Service", namespace, name) for namespace, name in webhook_services(facts)]
        return neighbourhood(facts, [*aims(facts, self.target), *asked])


async def collect(
    cluster: Cluster,
    target: Target,
    *,
    budget: Budget,
    clock: Clock,
    progress: Callable[[str], None] = lambda _: None,
    sealing_key: bytes | None = None,
) -> Bundle:
    """Collect what concerns a target; see `Detective.collect`.

    `sealing_key`: for the hashes of Secrets' values, which tell only whether two are equal; None keeps none.
    """
    meter = Meter(cluster, budget)
    collection = Collection(meter, target, clock.now_us(), sealing_key)
    progress(f"reading the objects around {target.object}")
    await _read_first(collection)
    if meter.failure is not None and meter.answers == 0:
        raise meter.failure
    progress("reading what they name")
    await _read_named(collection)
    await _read_logs(collection, progress)
    await _read_asked_for(collection)
    return _bundle(collection, budget)


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
                text=mask_text(text),
            )
        if not text.startswith(REMOVED):
            return None
    return None


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


def _bundle(collection: Collection, budget: Budget) -> Bundle:
    distances = collection.around()
    kept = [masked(body) for body in _kept(collection.objects, distances)]
    sizes = [size_of(body) for body in kept]
    size = sum(len(log.text) for log in collection.logs)
    chosen = []
    for body, length in zip(kept, sizes, strict=True):
        if size + length > budget.size_bytes:
            collection.meter.omit(str(ref_of(body)), ref_of(body))
            continue
        size += length
        chosen.append(body)
    sets = [body for body in chosen if body.get("kind") == "ReplicaSet"]
    revisions = [
        one for body in chosen if body.get("kind") == "Deployment" for one in revisions_of(body, sets)
    ]
    there = {ref_of(body) for body in chosen}
    changes = [one for one in collection.changes if one.object in there] + revisions
    return Bundle(
        target=collection.target,
        at=collection.at,
        objects=tuple(chosen),
        logs=tuple(collection.logs),
        changes=tuple(
            sorted(
                {(one.object, one.at, one.by, one.what): one for one in changes}.values(),
                key=lambda one: one.at,
            )
        ),
        gaps=tuple(collection.meter.gaps),
        spent=collection.meter.spent(size),
    )


def _kept(objects: Sequence[Body], distances: Distances) -> list[Body]:
    """Choose what is kept, the nearest first."""
    kept: list[tuple[int, Body]] = []
    for body in objects:
        distance = distances.get(_about(body))
        if distance is not None or body.get("kind") in _ALWAYS:
            kept.append((distance or 0, body))
        elif body.get("kind") in _NAMES:
            kept.append((99, outlined(body) if body.get("kind") == "ConfigMap" else body))
    nearest = [body for _, body in sorted(kept, key=lambda one: one[0])]
    return [body for body in nearest if body.get("kind") != "Event"] + _latest_events(nearest)


def _latest_events(bodies: Sequence[Body]) -> list[Body]:
    """Choose the last events about each object: a ReplicaSet of many pods has told of each."""
    about: dict[ObjectRef, list[Body]] = {}
    for body in bodies:
        if body.get("kind") == "Event":
            about.setdefault(_about(body), []).append(body)
    return [event for events in about.values() for event in sorted(events, key=event_at)[-MOST_EVENTS:]]


_ALWAYS = frozenset(
    {
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "StorageClass",
        "Node",
    }
)
"""Kinds that are read only where something asked for them."""
_NAMES = frozenset({"Service", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim"})
"""Kinds that are kept for their names."""


def _about(body: Body) -> ObjectRef:
    if body.get("kind") == "Event":
        about = part(body, "involvedObject")
        return ref_of(
            {
                "kind": about.get("kind"),
                "metadata": {"name": about.get("name"), "namespace": about.get("namespace")},
            }
        )
    return ref_of(body)
