"""Objects in memory, and what belongs together among them: an object's ReplicaSet, pods, events, addresses.

The one place that gathers what the rules of health and reasons are given. It is filled by whoever looks: by
lists (`observing`), by the watches of an operation (`operations.settling`), or by those that stay
(`watching`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from stellwerk.release.clusters.kinds import kind_of
from stellwerk.release.conditions import entries, part
from stellwerk.release.health import Related
from stellwerk.release.kinship import newest_replica_set, pods_of
from stellwerk.release.objects import Body, Key


class ObjectTable:
    """Objects by name, by what made them, and events by what they are about."""

    def __init__(self, bodies: Iterable[Body] = ()) -> None:
        self._bodies: dict[Key, Body] = {}
        self._made: dict[str, dict[Key, None]] = {}
        self._about: dict[str, dict[Key, None]] = {}
        for body in bodies:
            self.put(body)

    def __len__(self) -> int:
        return len(self._bodies)

    def put(self, body: Body) -> None:
        """Note an object as it is now."""
        key = named(body)
        self.drop(key)
        self._bodies[key] = body
        for uid in makers(body):
            self._made.setdefault(uid, {})[key] = None
        if uid := subject(body):
            self._about.setdefault(uid, {})[key] = None

    def drop(self, key: Key) -> Body | None:
        """Forget an object; return what was known of it."""
        body = self._bodies.pop(key, None)
        if body is not None:
            for uid in makers(body):
                _discard(self._made, uid, key)
            _discard(self._about, subject(body), key)
        return body

    def get(self, key: Key) -> Body | None:
        """Return an object; None if it is not known."""
        return self._bodies.get(key)

    def made_by(self, body: Body) -> list[Body]:
        """List what this very object made."""
        return [self._bodies[key] for key in self._made.get(uid_of(body), ())]

    def events_about(self, body: Body) -> list[Body]:
        """List the events about this very object."""
        return [self._bodies[key] for key in self._about.get(uid_of(body), ())]

    def family(self, body: Body) -> list[Body]:
        """List an object, its newest ReplicaSet if it has one, and its pods."""
        if body.get("kind") == "Pod":
            return [body]
        own = self.made_by(body)
        sets = [one for one in own if one.get("kind") == "ReplicaSet"]
        newest = newest_replica_set(body, sets) if body.get("kind") == "Deployment" else None
        made = own if newest is None else self.made_by(newest)
        pods = pods_of(body, [one for one in made if one.get("kind") == "Pod"], sets)
        return [body, *([newest] if newest is not None else []), *pods]

    def related(self, body: Body, now: datetime) -> Related:
        """Return what is known around an object."""
        family = self.family(body)
        pods = [one for one in family[1:] if one.get("kind") == "Pod"]
        events = [event for one in family for event in self.events_about(one)]
        endpoints = None
        if body.get("kind") == "Service":
            key = named(body)
            endpoints = self.get(Key(key.namespace, "Endpoints", key.name))
        return Related(now, pods, events, endpoints)


def named(body: Body) -> Key:
    """Return the key of an object as a cluster shows it."""
    metadata, kind = body["metadata"], kind_of(body)
    return Key(metadata.get("namespace") or "", kind.kind, metadata["name"], kind.group)


def uid_of(body: Body) -> str:
    """Return what tells an object from an earlier one of its name; empty if that is not known."""
    return str(part(body, "metadata").get("uid") or "")


def makers(body: Body) -> Sequence[str]:
    """List the uids of what an object was made by."""
    return [str(one["uid"]) for one in entries(part(body, "metadata"), "ownerReferences") if one.get("uid")]


def subject(body: Body) -> str:
    """Return the uid of what an event is about; empty if it is none."""
    return str(part(body, "involvedObject").get("uid") or "") if body.get("kind") == "Event" else ""


def _discard(index: dict[str, dict[Key, None]], uid: str, key: Key) -> None:
    keys = index.get(uid)
    if keys is not None:
        keys.pop(key, None)
        if not keys:
            del index[uid]
