"""How likely it is that the root objects are exactly these.

A clue begins with the share of cases in which its blame is right where it is the last of a chain; steps that
are supposed and not proven, several roots at once, and what could not be read make it less. Below
`PROVEN` nothing is accused: the answer is then what would have to be known. The suite reports how often
answers of each band were right (`bench/scenarios.md`).
"""

from collections.abc import Sequence

from stellwerk.inquiry.linking.tracing import Root
from stellwerk.inquiry.model import Gap

PROVEN = 0.5
CERTAIN_MOST = 0.97
"""Nothing that was concluded is more certain than this."""
WELL, OVER, UNKNOWN = 0.9, 0.85, 0.2
SEVERAL = 0.95
UNSEEN = 0.9
"""For each of the two first things that were not to be read."""


def of_roots(roots: Sequence[Root], gaps: Sequence[Gap]) -> float:
    """Return how certain these roots are, together."""
    weakest = min(root.strength for root in roots)
    several = SEVERAL if len(roots) > 1 else 1.0
    return round(min(CERTAIN_MOST, weakest * several * of_gaps(gaps)), 2)


def of_gaps(gaps: Sequence[Gap]) -> float:
    """Return what an answer is worth in view of what could not be read."""
    return UNSEEN ** min(2, len(gaps))
