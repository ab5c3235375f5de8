"""The inventory: which objects of the cluster an application instance owns.

It is written before an object is applied and after it was removed, so that what is in the cluster is never
missing from it, wherever a process dies. There are two copies, one in the cluster and one in the database;
each has the serial of its last change, and the one with the higher serial holds: a new server finds what
an old one left, and a deleted copy is written again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.ownership import Identity, is_kept

FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one object that we own."""

    service: str
    api_version: str
    hash: str = ""
    """Of the manifest that was applied last; empty while that is not known to have been done."""
    uid: str = ""
    """Of the object that we applied; another one of the same name is not ours. Empty until known."""
    keep: bool = False
    """Whether it was annotated to be kept when it was applied."""
    adopted: bool = False
    """Whether it was there before us; such a one is never removed."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an application instance owns. Methods return a changed copy."""

    entries: Mapping[Key, Entry] = field(default_factory=dict)
    serial: int = 0

    def of(self, services: Collection[str] | None = None) -> dict[Key, Entry]:
        """Return the entries of some services; None for all."""
        return {
            key: entry for key, entry in self.entries.items() if services is None or entry.service in services
        }

    def intending(self, manifests: Iterable[Manifest], adopted: Collection[Key] = ()) -> "Inventory":
        """Note objects that are about to be applied, before they are."""
        found = dict(self.entries)
        for manifest in manifests:
            known = found.get(manifest.key)
            found[manifest.key] = Entry(
                manifest.service,
                manifest.api_version,
                uid=known.uid if known else "",
                keep=is_kept(manifest.body),
                adopted=known.adopted if known else manifest.key in adopted,
            )
        return self._changed(found)

    def applied(self, done: Iterable[tuple[Manifest, str]]) -> "Inventory":
        """Note objects, with their uids, as they have been applied."""
        found = dict(self.entries)
        for manifest, uid in done:
            known = found.get(manifest.key, Entry(manifest.service, manifest.api_version))
            found[manifest.key] = replace(known, hash=manifest.hash, uid=uid or known.uid)
        return self._changed(found)

    def without(self, keys: Collection[Key]) -> "Inventory":
        """Forget objects that are gone, or that are no longer ours."""
        return self._changed({key: entry for key, entry in self.entries.items() if key not in keys})

    def _changed(self, entries: dict[Key, Entry]) -> "Inventory":
        return self if entries == self.entries else Inventory(entries, self.serial + 1)


def newest(copies: Iterable[Inventory]) -> Inventory:
    """Return the copy that holds; an empty one if there is none."""
    return max(copies, key=lambda copy: copy.serial, default=Inventory())


class _Row(msgspec.Struct, array_like=True, frozen=True):
    """An entry as it is stored; new fields go to the end."""

    key: Key
    api_version: str
    hash: str
    uid: str
    keep: bool
    adopted: bool


_ROWS = msgspec.json.Decoder(list[_Row])


class InventoryUnreadable(Exception):
    """A stored inventory is damaged, or of a newer release; nothing may be removed by it."""


def to_texts(inventory: Inventory) -> dict[str, str]:
    """Return the entries as text, a line of JSON each service."""
    found: dict[str, list[_Row]] = {}
    for key, entry in sorted(inventory.entries.items()):
        row = _Row(key, entry.api_version, entry.hash, entry.uid, entry.keep, entry.adopted)
        found.setdefault(entry.service, []).append(row)
    return {service: msgspec.json.encode(rows).decode() for service, rows in found.items()}


def from_texts(texts: Mapping[str, str], serial: int) -> Inventory:
    """Read what `to_texts` wrote. Raises InventoryUnreadable."""
    entries = {}
    try:
        for service, text in texts.items():
            for row in _ROWS.decode(text):
                entry = Entry(service, row.api_version, row.hash, row.uid, row.keep, row.adopted)
                entries[row.key] = entry
    except msgspec.DecodeError as error:
        raise InventoryUnreadable(f"the inventory cannot be read: {error}") from error
    return Inventory(entries, serial)


def object_name(identity: Identity) -> str:
    """Return the name of the object that holds the inventory in the cluster."""
    return f"stellwerk-inventory-{identity.application}-{identity.instance}"


def to_object(inventory: Inventory, identity: Identity, namespace: str) -> Body:
    """Return the inventory as an object of the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": object_name(identity),
            "namespace": namespace,
            "labels": identity.labels(),
            "annotations": {
                "stellwerk.dev/inventory": FORMAT,
                "stellwerk.dev/serial": str(inventory.serial),
            },
        },
        "data": to_texts(inventory),
    }


def from_object(body: Mapping[str, Any]) -> Inventory:
    """Read the inventory from its object. Raises InventoryUnreadable."""
    notes = body["metadata"].get("annotations") or {}
    if notes.get("stellwerk.dev/inventory") != FORMAT:
        raise InventoryUnreadable("the inventory in the cluster was written by another release")
    try:
        serial = int(notes["stellwerk.dev/serial"])
    except (KeyError, ValueError) as error:
        raise InventoryUnreadable("the inventory in the cluster has no serial") from error
    return from_texts(body.get("data") or {}, serial)
