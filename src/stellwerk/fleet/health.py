"""The health score of an instance: one documented formula over what it declares, reports, and how long it is
silent."""

from collections.abc import Mapping

from stellwerk.fleet.model import Condition, Presence

_BY_CONDITION = {Condition.ERROR: 5, Condition.MAINTENANCE: 2, Condition.BUSY: 1}
# an offline instance was late before, and still is
_BY_PRESENCE = {Presence.LATE: 2, Presence.OFFLINE: 2 + 5}

_MAYBE_PERCENT = ("usage", "utilization", "utilisation")
_FRACTIONS = ("load", "cpu", "memory", "gpu", "disk")


def health_score(condition: Condition, presence: Presence, load: Mapping[str, float]) -> float:
    """Compute the health of an instance, 0.0 to 1.0 in steps of a tenth.

    1.0, less each of these that holds:

    - condition: error 0.5, maintenance 0.2, busy 0.1 (active and inactive nothing)
    - load: 0.3 if the highest load fraction is above 0.8, else 0.1 if it is above 0.6
    - silence: late 0.2; offline 0.2 + 0.5, for who is offline is late as well

    and never below 0.0. `load_fraction` says which metrics are fractions; counts have no scale and are left
    out. The score changes on events only (a report, a change of condition or presence), never merely because
    time passes.
    """
    tenths = 10 - _BY_CONDITION.get(condition, 0) - _BY_PRESENCE.get(presence, 0) - _load_term(load)
    return max(tenths, 0) / 10


def load_fraction(name: str, value: float) -> float | None:
    """Read a load metric as a fraction of capacity, 0.0 to 1.0, by the ending of its name; None if it is no
    fraction.

    - `…percent`: a percentage; above 100 (several cores) it counts as full
    - `…usage`, `…utilization`, `…utilisation`: a fraction up to 1, a percentage above 1 and up to 100
    - `…load`, `…cpu`, `…memory`, `…gpu`, `…disk`: a fraction up to 1
    - anything else, and anything outside those ranges (bytes, run-queue lengths): a count, no fraction
    """
    if not value >= 0:
        return None
    if name.endswith("percent"):
        return min(value / 100, 1.0)
    if name.endswith(_MAYBE_PERCENT):
        if value <= 1:
            return value
        return value / 100 if value <= 100 else None
    if name.endswith(_FRACTIONS) and value <= 1:
        return value
    return None


def _load_term(load: Mapping[str, float]) -> int:
    highest = 0.0
    for name, value in load.items():
        fraction = load_fraction(name, value)
        if fraction is not None and fraction > highest:
            highest = fraction
    if highest > 0.8:
        return 3
    return 1 if highest > 0.6 else 0
