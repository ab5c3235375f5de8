"""The fleet's events: what the journal says of agents.

Every event names the group and, in its data, the instance, and what was and is: `{"instance": …, "old": {…},
"new": {…}}`.
"""

from collections.abc import Mapping

from stellwerk.fleet.joining import declared, declared_changes
from stellwerk.fleet.model import InstanceView, Presence, Standing
from stellwerk.fleet.rows import to_json
from stellwerk.journal.event import Event, Retention

Facts = Mapping[str, object]


class Author:
    """Writes the events of one instance, caused by one principal (None: by the clock)."""

    def __init__(self, group: str, instance: str, principal: str | None) -> None:
        self._group = group
        self._instance = instance
        self._principal = principal

    def registered(self, kind: str, joined_through: str, one: InstanceView) -> Event:
        """An instance joined for the first time."""
        facts = {"kind": kind, "joined_through": joined_through, **declared(one)}
        return self._event("agent.registered", {}, facts)

    def registered_again(self, kinds: tuple[str, str], was: InstanceView, is_: InstanceView) -> list[Event]:
        """An instance joined again; nothing if that changed nothing. `kinds` are the group's, old and new."""
        old, new = declared_changes(was, is_)
        if kinds[0] != kinds[1]:
            old, new = {"kind": kinds[0], **old}, {"kind": kinds[1], **new}
        updated = [self._event("agent.updated", old, new)] if new else []
        return updated + self.stands((was.condition, was.presence), (is_.condition, is_.presence))

    def stands(self, was: Standing, is_: Standing) -> list[Event]:
        """The condition, the presence, or both changed, or neither."""
        events = []
        if was[1] is not is_[1]:
            events.append(self.present(was[1], is_[1]))
        if was[0] is not is_[0]:
            events.append(self._event("agent.status", {"condition": was[0]}, {"condition": is_[0]}))
        return events

    def present(self, was: Presence, is_: Presence) -> Event:
        """The presence changed: `agent.online`, `agent.late` or `agent.offline`."""
        return self._event(f"agent.{is_.value}", {"presence": was}, {"presence": is_})

    def removed(self, instances_left: int) -> Event:
        """An instance was removed; with the last of them, the group."""
        return self._event("agent.removed", {}, {"instances_left": instances_left})

    def _event(self, kind: str, old: Facts, new: Facts) -> Event:
        data = to_json({"instance": self._instance, "old": old, "new": new})
        return Event(kind, Retention.FLEET, group=self._group, principal=self._principal, data=data)
