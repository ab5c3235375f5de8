"""Waves: what is applied together, and must be healthy before the next is.

An object's wave is decided, in this order, by
- whether all others may need it: namespaces and definitions of kinds that name no wave come first,
- the services named that its service depends on, also by way of services that are not named,
- whether it is a hook: a job that runs before or after the rest of its service,
- its annotation, an integer that may be negative; none is 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from stellwerk.release.fault import Fault
from stellwerk.release.objects import Manifest
from stellwerk.release.order import Rank, rank_of
from stellwerk.release.ownership import HOOK, WAVE, annotation

LARGEST = 1_000_000


class Hook(StrEnum):
    """When a job runs."""

    PRE_UP = "pre-up"
    POST_UP = "post-up"
    PRE_DOWN = "pre-down"


class Place(NamedTuple):
    """What orders waves; objects of equal places are one wave."""

    shared: int
    """0 for what everything may need, 1 for the rest."""
    depth: int
    """The longest chain of services named that come before."""
    phase: int
    """-1 for hooks before the service, 1 for those after it."""
    number: int
    """Of the annotation."""


_PHASES = {Hook.PRE_UP: -1, Hook.POST_UP: 1}
_HOOKS = frozenset(one.value for one in Hook)
_EARLY = frozenset({Rank.NAMESPACE, Rank.DEFINITION})


def hook_of(manifest: Manifest) -> Hook | None:
    """Return when a job runs as a hook; None for what is no hook."""
    value = annotation(manifest.body, HOOK)
    return Hook(value) if value in _HOOKS else None


def waves(
    manifests: Iterable[Manifest], depends_on: Mapping[str, Sequence[str]]
) -> list[tuple[Manifest, ...]]:
    """Put objects into waves; hooks of a removal are left out. `check` must have found no fault."""
    wanted = [manifest for manifest in manifests if hook_of(manifest) is not Hook.PRE_DOWN]
    depths = depths_of({manifest.service for manifest in wanted}, depends_on)
    found: dict[Place, list[Manifest]] = {}
    for manifest in wanted:
        found.setdefault(place_of(manifest, depths), []).append(manifest)
    return [tuple(found[place]) for place in sorted(found)]


def place_of(manifest: Manifest, depths: Mapping[str, int]) -> Place:
    """Return what decides an object's wave."""
    hook = hook_of(manifest)
    own = annotation(manifest.body, WAVE)
    if own is None and hook is None and rank_of(manifest.key) in _EARLY:
        return Place(0, 0, 0, 0)
    return Place(1, depths.get(manifest.service, 0), _PHASES.get(hook, 0) if hook else 0, int(own or 0))


def depths_of(services: Iterable[str], depends_on: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many of the services come before each, one after the other.

    Services in a circle (which reading an application refuses) are given some order.
    """
    named = frozenset(services)
    found: dict[str, int] = {}

    def depth(service: str, above: frozenset[str]) -> int:
        """Count the named services on the longest way down, this one included if it is named."""
        if service in found:
            return found[service]
        below = [one for one in depends_on.get(service, ()) if one not in above]
        value = max((depth(one, above | {service}) for one in below), default=0) + (service in named)
        if not above & set(depends_on.get(service, ())):
            found[service] = value
        return value

    return {service: depth(service, frozenset({service})) - 1 for service in sorted(named)}


def check(manifests: Iterable[Manifest]) -> list[Fault]:
    """Return what is wrong with annotations, and objects that two files describe."""
    faults: list[Fault] = []
    seen: dict[object, Manifest] = {}
    for manifest in manifests:
        first = seen.setdefault(manifest.key, manifest)
        if first is not manifest:
            message = f"{manifest.key} is described in {first.file} as well"
            faults.append(Fault(manifest.file, None, message, "keep one of the two", manifest.service))
        faults += _check_annotations(manifest)
    return faults


def _check_annotations(manifest: Manifest) -> list[Fault]:
    faults = []
    wave, hook = annotation(manifest.body, WAVE), annotation(manifest.body, HOOK)
    if wave is not None and not _is_number(wave):
        faults.append((f"{WAVE} is {wave!r}", "use an integer, in quotes"))
    if hook is not None and hook not in _HOOKS:
        faults.append((f"{HOOK} is {hook!r}", f"use one of {', '.join(Hook)}"))
    elif hook is not None and (manifest.key.group, manifest.key.kind) != ("batch", "Job"):
        faults.append((f"{manifest.key.kind} cannot be a hook", "use a Job"))
    return [
        Fault(manifest.file, None, f"{manifest.key}: {message}", advice, manifest.service)
        for message, advice in faults
    ]


def _is_number(text: str) -> bool:
    try:
        return abs(int(text)) <= LARGEST
    except ValueError:
        return False
