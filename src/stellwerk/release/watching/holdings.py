"""What an application instance owns, and what was made for it, as watches told last.

Theory of operation. Pods and events carry none of our marks, and the watches of a namespace tell of
everybody's. What belongs to us is known by who made it: a family begins with an owned object, and whatever
names a member of it as its maker, or is an event about one, joins it. Watches know no order among each other,
so what nobody claims yet is kept for a moment, and looked at again when a new member comes. Everything is
bounded: strangers are forgotten oldest first, and of one object's events the last ones stay.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping

from stellwerk.release.clusters.cluster import Changed
from stellwerk.release.inventory import Entry
from stellwerk.release.objects import Body, Key
from stellwerk.release.reasons.pods import last_seen
from stellwerk.release.table import ObjectTable, makers, named, subject, uid_of
from stellwerk.release.watching.lean import lean, meaning

STRANGERS = 2_000
"""What may still turn out to be ours: the order of watches differs by moments, in which no more happens."""
EVENTS_OF_ONE = 30
KIN = 20_000
"""Pods, ReplicaSets and events of one application instance; beyond, health is judged without the rest."""
NEWS = 1_000
"""Warnings that wait to be written; of more at once the oldest are lost."""
TELLING = frozenset({"WaitForFirstConsumer", "FailedBinding"})
"""Reasons of events that say something about health although they are no warnings."""


class Holdings:
    """The objects of one application instance; see the module."""

    def __init__(self) -> None:
        self.table = ObjectTable()
        self.entries: Mapping[Key, Entry] = {}
        self.dirty: set[Key] = set()
        """Owned objects that may not be as they were judged last."""
        self.suspects: set[Key] = set()
        """Owned objects that may not be as they were applied."""
        self.warnings: deque[tuple[Key, Body]] = deque(maxlen=NEWS)
        """Events about our objects that were not written yet, each with the owned one."""
        self._roots: dict[str, Key] = {}
        """The owned object of a family, by the uids of its members."""
        self._meanings: dict[Key, bytes] = {}
        self._strangers: OrderedDict[Key, Body] = OrderedDict()
        self._kin = 0

    def own(self, entries: Mapping[Key, Entry]) -> None:
        """Note what is owned from now on; what was applied anew may differ from what was known."""
        before, self.entries = self.entries, entries
        for key in before.keys() - entries.keys():
            self._forget(key)
            self.dirty.discard(key)
            self.suspects.discard(key)
        changed = {key for key, entry in entries.items() if before.get(key) != entry}
        self.dirty |= changed
        self.suspects |= changed

    def take(self, change: Changed) -> None:
        """Note what a watch tells."""
        if not change.object:
            return
        key = named(change.object)
        if change.type == "deleted":
            self._gone(key)
        elif key in self.entries:
            self._owned(key, change.object)
        else:
            self._other(key, change.object)

    def missing(self, key: Key) -> None:
        """Note that an owned object is not among those that a watch told."""
        self._gone(key)

    def examined(self, key: Key) -> None:
        """Note that an object was compared with what was applied."""
        self.suspects.discard(key)

    def root_of(self, body: Body) -> Key | None:
        """Return the owned object to whose family an object belongs; None for a stranger."""
        for uid in (uid_of(body), subject(body), *makers(body)):
            if uid and uid in self._roots:
                return self._roots[uid]
        return None

    def _owned(self, key: Key, body: Body) -> None:
        known, meant = self.table.get(key), meaning(body)
        if self._meanings.get(key) != meant:
            self._meanings[key] = meant
            self.suspects.add(key)
        if known is not None and uid_of(known) != uid_of(body):
            self._forget(key)
            self._meanings[key] = meant
        self.table.put(lean(body))
        self._join(body, key)
        self.dirty.add(key)

    def _other(self, key: Key, body: Body) -> None:
        if key.kind == "Endpoints":
            root = Key(key.namespace, "Service", key.name)
            if root in self.entries:
                self.table.put(lean(body))
                self.dirty.add(root)
            return
        root_or_none = self.root_of(body)
        if root_or_none is None:
            self._remember(key, body)
        else:
            self._kin_of(root_or_none, key, body)

    def _kin_of(self, root: Key, key: Key, body: Body) -> None:
        event = key.kind == "Event"
        if event and body.get("type") == "Warning":
            self.warnings.append((root, body))
        if event and body.get("type") != "Warning" and body.get("reason") not in TELLING:
            return
        if self.table.get(key) is None:
            if self._kin >= KIN:
                return
            self._kin += 1
        self.table.put(body if event else lean(body))
        self.dirty.add(root)
        if event:
            self._thin_out(subject(body))
        else:
            self._join(body, root)

    def _join(self, body: Body, root: Key) -> None:
        """Make an object a member of a family, and look who belongs to it by that."""
        uid = uid_of(body)
        if not uid or self._roots.get(uid) == root:
            return
        self._roots[uid] = root
        claimed = [
            (key, one) for key, one in self._strangers.items() if uid in makers(one) or subject(one) == uid
        ]
        for key, one in claimed:
            del self._strangers[key]
            self._kin_of(root, key, one)

    def _remember(self, key: Key, body: Body) -> None:
        if key.kind == "Event" and body.get("type") != "Warning" and body.get("reason") not in TELLING:
            return
        if key.kind != "Event" and not makers(body):
            return
        self._strangers[key] = body if key.kind == "Event" else lean(body)
        self._strangers.move_to_end(key)
        if len(self._strangers) > STRANGERS:
            self._strangers.popitem(last=False)

    def _gone(self, key: Key) -> None:
        self._strangers.pop(key, None)
        if key in self.entries:
            self._meanings.pop(key, None)
            self._forget(key)
            self.dirty.add(key)
            self.suspects.add(key)
            return
        body = self.table.drop(key)
        if body is None:
            return
        if key.kind == "Endpoints":
            self.dirty.add(Key(key.namespace, "Service", key.name))
            return
        self._kin -= 1
        root = self.root_of(body)
        if root is not None:
            self.dirty.add(root)
        self._part(body)

    def _part(self, body: Body) -> None:
        if body.get("kind") != "Event":
            self._roots.pop(uid_of(body), None)
            for event in self.table.events_about(body):
                self.table.drop(named(event))
                self._kin -= 1

    def _forget(self, key: Key) -> None:
        """Let an owned object go, and its family with it."""
        body = self.table.drop(key)
        self._meanings.pop(key, None)
        if body is None:
            return
        if key.kind == "Service":
            self.table.drop(Key(key.namespace, "Endpoints", key.name))
        family = [body]
        for one in family:
            made = [other for other in self.table.made_by(one) if named(other) not in self.entries]
            for other in made:
                self.table.drop(named(other))
                self._kin -= 1
            family += made
            self._part(one)

    def _thin_out(self, uid: str) -> None:
        """Keep the last events of an object."""
        about = self.table.events_about({"metadata": {"uid": uid}})
        if len(about) > EVENTS_OF_ONE:
            self.table.drop(named(min(about, key=last_seen)))
            self._kin -= 1
