"""What is left after the faults, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from e2e.chaos.journal import Told
from e2e.kills.evidence import Evidence


@dataclass(frozen=True, slots=True)
class ChaosEvidence:
    """Everything that the checker may look at."""

    shared: Evidence
    """What every campaign of kills leaves."""
    followed: Sequence[Told]
    """What a reader was told while it all happened, in that order."""
    journal: Sequence[Told]
    """What the journal says in the end."""
    orphans: dict[str, list[str]] = field(default_factory=dict)
    """Rows without what they belong to, by what is wrong with them."""
    waits_s: Sequence[float] = ()
    """How long the callers waited until their submission was acknowledged."""
    half_within_s: float = 60.0
    """Half of the waits have to be shorter."""
    all_within_s: float = 60.0
    """Every wait has to be shorter."""
