"""Kinds of objects that a cluster serves, as it says itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stellwerk.release.clusters.errors import ClusterUnavailable, UnknownKind
from stellwerk.release.objects import Key, group_of


class Kind(NamedTuple):
    """A kind of objects, by its name."""

    kind: str
    group: str = ""
    """Empty for the core."""
    version: str | None = None
    """None for the one that the cluster prefers."""

    def __str__(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


def kind_of(what: Key | Mapping[str, Any]) -> Kind:
    """Return the kind of a key, in any version, or of an object, in its own."""
    if isinstance(what, Key):
        return Kind(what.kind, what.group)
    api_version: str = what["apiVersion"]
    return Kind(what["kind"], group_of(api_version), api_version.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class KindInfo:
    """One kind in one version, as the cluster serves it."""

    kind: str
    group: str
    version: str
    plural: str
    """Its name in paths."""
    namespaced: bool
    verbs: frozenset[str] = field(repr=False)
    subresources: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def api_version(self) -> str:
        """What an object of it says as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


class Kinds:
    """All kinds of a cluster at one time."""

    def __init__(self, infos: Iterable[KindInfo], silent: Iterable[str] = ()) -> None:
        """Take kinds, those of a group in its order of preference; `silent`: groups that gave no answer."""
        self._versions: dict[tuple[str, str], list[KindInfo]] = {}
        self._silent = frozenset(silent)
        for info in infos:
            self._versions.setdefault((info.group, info.kind), []).append(info)

    def resolve(self, kind: Kind) -> KindInfo:
        """Return how a kind is served.

        Raises UnknownKind, and ClusterUnavailable where the kind's group gave no answer: then nobody knows.
        """
        if (info := self.find(kind)) is not None:
            return info
        if kind.group in self._silent:
            raise ClusterUnavailable(f"the API group {kind.group} gives no answer")
        served = self._versions.get((kind.group, kind.kind), [])
        raise UnknownKind(kind.kind, kind.group, kind.version, [one.api_version for one in served])

    def find(self, kind: Kind) -> KindInfo | None:
        """Return how a kind is served; None if it is not, as far as is known."""
        for info in self._versions.get((kind.group, kind.kind), []):
            if kind.version in {None, info.version}:
                return info
        return None

    def versions(self) -> Iterator[KindInfo]:
        """List every kind in every version."""
        return (one for served in self._versions.values() for one in served)

    def __iter__(self) -> Iterator[KindInfo]:
        """List each kind once, in the version that the cluster prefers."""
        return (served[0] for served in self._versions.values())
