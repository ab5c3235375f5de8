"""The order in which objects are applied: what others need comes before them. Removal goes backwards."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import groupby
from typing import TypeVar

from stellwerk.release.objects import Key, Manifest

T = TypeVar("T")


class Rank(IntEnum):
    """A place in the order."""

    NAMESPACE = 0
    DEFINITION = 1
    ACCESS = 2
    CONFIGURATION = 3
    STORAGE = 4
    WORKLOAD = 5
    SERVICE = 6
    OTHER = 7


_RANKS = {
    ("", "Namespace"): Rank.NAMESPACE,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Rank.DEFINITION,
    ("", "ServiceAccount"): Rank.ACCESS,
    ("", "ResourceQuota"): Rank.ACCESS,
    ("", "LimitRange"): Rank.ACCESS,
    ("scheduling.k8s.io", "PriorityClass"): Rank.ACCESS,
    ("networking.k8s.io", "NetworkPolicy"): Rank.ACCESS,
    ("policy", "PodSecurityPolicy"): Rank.ACCESS,
    ("", "ConfigMap"): Rank.CONFIGURATION,
    ("", "Secret"): Rank.CONFIGURATION,
    ("storage.k8s.io", "StorageClass"): Rank.STORAGE,
    ("", "PersistentVolume"): Rank.STORAGE,
    ("", "PersistentVolumeClaim"): Rank.STORAGE,
    ("", "Pod"): Rank.WORKLOAD,
    ("", "ReplicationController"): Rank.WORKLOAD,
    ("", "Service"): Rank.SERVICE,
}
_GROUPS = {
    "rbac.authorization.k8s.io": Rank.ACCESS,
    "apps": Rank.WORKLOAD,
    "batch": Rank.WORKLOAD,
}


def rank_of(key: Key) -> Rank:
    """Return an object's place in the order, by its kind alone."""
    return _RANKS.get((key.group, key.kind), _GROUPS.get(key.group, Rank.OTHER))


def makes_nothing(key: Key) -> bool:
    """Tell whether no controller makes other objects for this kind of object."""
    return rank_of(key) in (Rank.ACCESS, Rank.CONFIGURATION)


def in_order(manifests: Iterable[Manifest]) -> list[tuple[Manifest, ...]]:
    """Return the steps in which objects are applied; those of one step do not need each other."""
    return [tuple(step) for _, step in groupby(sorted(manifests, key=_place), key=_rank)]


def for_removal(keys: Iterable[Key]) -> list[tuple[Key, ...]]:
    """Return the steps in which objects are removed: the opposite order."""
    ordered = sorted(keys, key=lambda key: (-rank_of(key), key))
    return [tuple(step) for _, step in groupby(ordered, key=rank_of)]


def flattened(steps: Iterable[Sequence[T]]) -> list[T]:
    """Return what the steps hold, in order."""
    return [one for step in steps for one in step]


def _rank(manifest: Manifest) -> Rank:
    return rank_of(manifest.key)


def _place(manifest: Manifest) -> tuple[Rank, Key]:
    return rank_of(manifest.key), manifest.key
