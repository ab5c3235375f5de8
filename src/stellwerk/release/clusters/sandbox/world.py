"""The world as the simulated controllers see it: at one time, and with what they may do in it."""

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import Any

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.sandbox.admission import check_namespace
from stellwerk.release.clusters.sandbox.defaults import defaulted
from stellwerk.release.clusters.sandbox.quotas import check_quotas
from stellwerk.release.clusters.sandbox.storage import Storage, written
from stellwerk.release.objects import Body, Key, key_of

SIMULATED = "sandbox.stellwerk.dev/simulated"
MOST_EVENTS = 1000
"""The oldest go then; a cluster keeps them for an hour."""


class World:
    """One look at everything; what is changed in it is seen at once."""

    def __init__(self, storage: Storage, now: datetime, start_s: float) -> None:
        """`start_s`: how long pods take to get ready."""
        self._storage = storage
        self.table = storage.table
        self.infos = storage.infos
        self.now = now
        self.start_s = start_s
        self.again_in_s: float | None = None
        """When to look again although nothing changes; None if that is not needed."""
        self.taken: dict[str, dict[str, Decimal]] = {}
        """What pods take of each node, as far as somebody has counted."""

    def age_s(self, body: Body) -> float:
        """Return how old an object is."""
        return (self.now - self._storage.born[body["metadata"]["uid"]]).total_seconds()

    def terminating_s(self, body: Body) -> float:
        """Return since when an object is being deleted."""
        return (self.now - self._storage.marked[body["metadata"]["uid"]]).total_seconds()

    def again(self, in_s: float) -> None:
        """Ask for another look after a time."""
        self.again_in_s = in_s if self.again_in_s is None else min(self.again_in_s, in_s)

    def make(self, body: Body) -> None:
        """Make an object. Raises Refused."""
        key = key_of(body)
        check_namespace(self.table, key, new=True)
        if body["kind"] == "Pod":
            self._check_account(body)
        check_quotas(self.table, body, self.infos)
        self._storage.put(self._storage.stamped(defaulted(body), None))

    def change(self, body: Body) -> Body:
        """Put an object in the place of the one of its name, where they differ; return it as it is then."""
        live = self.table.get(key_of(body))
        if live is None or live == body:
            return body
        stored = self._storage.stamped(body, live)
        self._storage.put(stored)
        return stored

    def report(self, body: Body, status: dict[str, Any], *, observed: bool = True) -> None:
        """Set an object's status; `observed`: with the generation that it is about."""
        live = self.table.get(key_of(body))
        if live is None:
            return
        if observed:
            status = status | {"observedGeneration": live["metadata"].get("generation", 1)}
        self.change(live | {"status": status})

    def remove(self, body: Body) -> None:
        """Delete an object."""
        self._storage.delete(key_of(body))

    def finish(self, body: Body) -> None:
        """Let go of a namespace where nothing is left in it."""
        self._storage.finish(key_of(body))

    def tell(
        self,
        about: Body,
        reason: str,
        message: str,
        *,
        warns: bool = False,
        container: str = "",
        times: int = 1,
    ) -> None:
        """Write an event, unless it was told so often already. It says that all this is simulated."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        mark = hashlib.sha256(f"{metadata['uid']}{reason}{message}{container}".encode()).hexdigest()[:16]
        key = Key(namespace, "Event", f"{metadata['name']}.{mark}")
        known = self.table.get(key)
        if known is not None and known["count"] >= times:
            return
        target = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": namespace,
            "uid": metadata["uid"],
        }
        if container:
            target["fieldPath"] = f"spec.containers{{{container}}}"
        at = written(self.now)
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": key.name, "namespace": namespace, "annotations": {SIMULATED: "true"}},
            "involvedObject": target,
            "reason": reason,
            "message": f"{message} (simulated)",
            "type": "Warning" if warns else "Normal",
            "count": times,
            "firstTimestamp": known["firstTimestamp"] if known else at,
            "lastTimestamp": at,
            "source": {"component": "stellwerk-sandbox"},
            "reportingComponent": "stellwerk-sandbox",
        }
        self._storage.put(self._storage.stamped(body, known))
        events = self.table.of("Event")
        if len(events) > MOST_EVENTS:
            self.remove(events[0])

    def _check_account(self, pod: Body) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default")
        if name != "default" and self.table.get(Key(namespace, "ServiceAccount", name)) is None:
            text = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise Refused("admission", f'pods "{pod["metadata"]["name"]}" is forbidden: {text}', 403)
