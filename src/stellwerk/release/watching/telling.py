"""When a change of health is told: pure rules.

Health moves all the time while something is rolled out. Told is what somebody should know: that an object has
a trouble, that it is another one now, and that it is well again and stays so.
"""

from dataclasses import dataclass

from stellwerk.clock import MICROSECONDS
from stellwerk.release.health import Health
from stellwerk.release.reasons.reason import GRACE

STAYS_US = 10 * MICROSECONDS
"""How long an object has to be well until that is told: what crashes now and then is well in between."""
PATIENCE_US = int(GRACE.total_seconds()) * MICROSECONDS
"""How long a reason that is not certain must have stood in the way to be told."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps an object from being well."""

    code: str
    """A word for programs: `ImagePullBackOff`."""
    message: str


def trouble_of(found: Health, *, unwell_us: int, now_us: int) -> Trouble | None:
    """Return what is worth telling about an object that is not well; None if nothing is.

    `unwell_us`: since when it is not well, 0 while it is.
    """
    reason = found.reason
    match found.status:
        case "healthy" | "suspended" | "unknown":
            return None
        case "missing":
            return Trouble("Missing", found.message)
        case "degraded":
            return Trouble(reason.code if reason else "Degraded", found.message)
        case "progressing":
            if reason is None or now_us - unwell_us < PATIENCE_US:
                return None
            return Trouble(reason.code, found.message)


def is_over(found: Health, *, since_us: int, now_us: int) -> bool:
    """Tell whether an object that had a trouble is well again, and stays so."""
    return found.status in ("healthy", "suspended") and now_us - since_us >= STAYS_US
