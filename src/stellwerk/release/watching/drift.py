"""What of an application is no longer as it was applied: pure rules over the steps of a plan."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from stellwerk.release.conditions import part
from stellwerk.release.inventory import Inventory
from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.ownership import Identity, annotation, owner_of
from stellwerk.release.plan import Action, NotVisible, Step
from stellwerk.release.waves import hook_of

IGNORE = "stellwerk.dev/drift"
"""Annotation: `ignore` says that others may change an object as they like."""
MOST_FIELDS = 20


class DriftKind(StrEnum):
    """How an object is other than it was applied."""

    CHANGED = "changed"
    MISSING = "missing"
    TAKEN = "taken"
    """It is another application's now; nothing is done about it."""


class Drift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object that is not as it was applied."""

    key: Key
    service: str
    kind: DriftKind
    fields: tuple[str, ...] = ()
    """Paths of what differs; values are not kept, as they may be secrets."""
    owner: str = ""
    """Who set them, as far as the cluster knows."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied and how it is now, as far as that matters here."""

    identity: Identity
    scaled: Collection[tuple[str, str, str]] = ()
    """Namespace, kind and name of what an autoscaler of ours scales."""


def judgeable(wanted: Iterable[Manifest], inventory: Inventory) -> list[Manifest]:
    """Return what surely was applied as it is described; of anything else nobody can say that it drifted.

    Jobs that run as hooks, and those that go by themselves, are left out.
    """
    found = []
    for manifest in wanted:
        entry = inventory.entries.get(manifest.key)
        applied = entry is not None and entry.hash == manifest.hash
        ignored = annotation(manifest.body, IGNORE) == "ignore"
        if applied and not ignored and hook_of(manifest) is None and not _goes_by_itself(manifest):
            found.append(manifest)
    return found


def drift_of(step: Step, live: Body | NotVisible | None, applied: Applied) -> Drift | None:
    """Return how an object drifted by what an operation would do to it; None if it would do nothing."""
    key, service = step.key, step.service
    owner = owner_of(live) if isinstance(live, dict) else None
    if owner is not None and owner.identity != applied.identity and key.kind != "Namespace":
        whose = f"{owner.identity.application}/{owner.identity.instance}"
        return Drift(key=key, service=service, kind=DriftKind.TAKEN, owner=whose)
    match step.action:
        case Action.CREATE | Action.UNVERIFIED:
            return Drift(key=key, service=service, kind=DriftKind.MISSING)
        case Action.UPDATE | Action.CONFLICT | Action.REFUSED:
            fields = _fields(step, applied)
            if step.action is Action.UPDATE and not fields:
                return None
            return Drift(
                key=key,
                service=service,
                kind=DriftKind.CHANGED if live is not None else DriftKind.MISSING,
                fields=fields,
                owner=step.owner or "",
                message=step.message if step.action is not Action.UPDATE else "",
            )
        case Action.UNCHANGED | Action.DELETE | Action.KEEP:
            return None


def _fields(step: Step, applied: Applied) -> tuple[str, ...]:
    scaled = (step.key.namespace, step.key.kind, step.key.name) in applied.scaled
    found = [change.path for change in step.changes if not (scaled and change.path == "spec.replicas")]
    return tuple(found[:MOST_FIELDS])


def scaled_by(scalers: Iterable[Body]) -> set[tuple[str, str, str]]:
    """Return what autoscalers scale: its number of replicas is theirs to set."""
    found = set()
    for scaler in scalers:
        target = part(scaler, "spec", "scaleTargetRef")
        namespace = str(part(scaler, "metadata").get("namespace") or "")
        found.add((namespace, str(target.get("kind")), str(target.get("name"))))
    return found


def _goes_by_itself(manifest: Manifest) -> bool:
    return manifest.key.kind == "Job" and "ttlSecondsAfterFinished" in part(manifest.body, "spec")
