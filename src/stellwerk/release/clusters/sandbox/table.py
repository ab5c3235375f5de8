"""The objects of the sandbox, and what finds them: by kind, by namespace, and by what they belong to."""

from collections.abc import Iterator, Sequence

from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body, Key


class Table:
    """Objects by name. Bodies are never changed, only replaced."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], dict[Key, Body]] = {}
        self._made: dict[str, set[Key]] = {}
        """By the uid of the owner."""

    def get(self, key: Key) -> Body | None:
        """Return an object; None if it is not there."""
        return self._kinds.get((key.group, key.kind), {}).get(key)

    def put(self, key: Key, body: Body) -> None:
        """Put an object in the place of the one of its name."""
        known = self.get(key)
        if known is not None:
            self._forget(key, known)
        self._kinds.setdefault((key.group, key.kind), {})[key] = body
        for uid in owners_of(body):
            self._made.setdefault(uid, set()).add(key)

    def pop(self, key: Key) -> Body:
        """Take an object away. Raises KeyError."""
        body = self._kinds[key.group, key.kind].pop(key)
        self._forget(key, body)
        return body

    def of(self, kind: str, group: str = "") -> Sequence[Body]:
        """List the objects of a kind, in the order of their making."""
        return list(self._kinds.get((group, kind), {}).values())

    def rows(self, kind: str, group: str = "") -> Sequence[tuple[Key, Body]]:
        """List the objects of a kind with their names, sorted by these."""
        return sorted(self._kinds.get((group, kind), {}).items())

    def made_by(self, owner: Body, kind: str = "") -> Sequence[Body]:
        """List what belongs to an object; `kind` empty for all kinds."""
        keys = sorted(self._made.get(owner["metadata"]["uid"], ()))
        return [body for key in keys if (not kind or key.kind == kind) and (body := self.get(key))]

    def inside(self, namespace: str) -> Iterator[Key]:
        """List what is in a namespace."""
        for rows in self._kinds.values():
            yield from [key for key in rows if key.namespace == namespace]

    def _forget(self, key: Key, body: Body) -> None:
        for uid in owners_of(body):
            self._made[uid].discard(key)
            if not self._made[uid]:
                del self._made[uid]


def owners_of(body: Body) -> set[str]:
    """Return the uids of what an object belongs to."""
    return {str(one.get("uid")) for one in entries(part(body, "metadata"), "ownerReferences")}
