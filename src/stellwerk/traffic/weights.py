"""Which versions of an agent are in rotation, and what of the calls each gets.

Weighted healthy versions share the calls by their weights. A version without a weight is a newcomer that
nobody has decided about: it takes over only where no weighted version can serve, and shares evenly with its
like. Weight 0 is off, whatever else is broken.
"""

from collections.abc import Collection, Iterable

import msgspec

from stellwerk.fleet.model import VersionView

EVEN = 1
"""Weight of each version among those that have none."""


class Share(msgspec.Struct, frozen=True, gc=False):
    """A version in rotation; `weight` is relative to the others' here."""

    version: str
    weight: int
    percent: float
    """What of the agent's calls it gets, 0 … 100."""


def standing(versions: Iterable[VersionView], healthy: Collection[str]) -> list[Share]:
    """Return the versions in rotation, in their order; none if all are off or none is healthy."""
    able = [one for one in versions if one.version in healthy and one.weight != 0]
    weighted = [(one.version, one.weight) for one in able if one.weight is not None]
    chosen = weighted or [(one.version, EVEN) for one in able]
    total = sum(weight for _, weight in chosen)
    return [Share(version, weight, 100 * weight / total) for version, weight in chosen]


def all_off(versions: Iterable[VersionView]) -> bool:
    """Tell whether operators have switched every version off."""
    return all(one.weight == 0 for one in versions)
