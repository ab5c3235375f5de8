"""What metrics say of a pod and its containers, with the values; nothing where nothing was measured."""

from datetime import datetime

from stellwerk.clock import MICROSECONDS
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.templates import container_named
from stellwerk.inquiry.model import Measure
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body
from stellwerk.release.quantities import quantity

NOW_S = 300
"""How far back the last points may lie that count as now."""
BEFORE_S = 1_800
"""How far back from its end a run's memory is looked at."""
STEADY_POINTS = 6
"""So many points at least tell a climb from a jump."""
CLIMBED = 1.15
"""How much higher the middle of the last third has to be than that of the first."""
AT_LIMIT = 0.95
_MI = 1024 * 1024

Points = list[tuple[int, float]]


def points_of(facts: Facts, pod: Body, measure: Measure, container: str = "") -> Points:
    """List what was measured of a container, or of the pod."""
    ref = ref_of(pod)
    return [
        point
        for one in facts.bundle.metrics
        if one.measure == measure and one.pod == ref and one.container in {container, ""}
        for point in one.points
    ]


def mean_now(facts: Facts, pod: Body, measure: Measure, container: str = "") -> float | None:
    """Return the mean of the last minutes; None where nothing was measured then."""
    since = facts.bundle.at - NOW_S * MICROSECONDS
    values = [value for at, value in points_of(facts, pod, measure, container) if at >= since]
    return sum(values) / len(values) if values else None


def memory_before(facts: Facts, pod: Body, container: str, end: datetime | None) -> str | None:
    """Tell how a container's memory went in its last half hour before `end`; None where it is not known."""
    if end is None:
        return None
    until = int(end.timestamp() * MICROSECONDS)
    course = [
        one
        for one in points_of(facts, pod, "memory_bytes", container)
        if until - BEFORE_S * MICROSECONDS <= one[0] <= until
    ]
    if not course:
        return None
    most, limit = max(value for _, value in course), memory_limit(pod, container)
    share = f" of {limit / _MI:.0f}Mi" if limit else ""
    minutes = (course[-1][0] - course[0][0]) / (60 * MICROSECONDS)
    if climbs(course):
        rise = f"from {course[0][1] / _MI:.0f}Mi to {most / _MI:.0f}Mi{share}"
        return f"memory of {container} climbed {rise} in {minutes:.0f} min"
    return f"memory of {container} was at most {most / _MI:.0f}Mi{share} when it was measured"


def climbs(course: Points) -> bool:
    """Whether memory rises steadily: it leaks, and does not need much at once."""
    if len(course) < STEADY_POINTS:
        return False
    values = [value for _, value in sorted(course)]
    third = len(values) // 3
    first, middle, last = (sorted(values[part * third : (part + 1) * third])[third // 2] for part in range(3))
    return last > CLIMBED * first and first <= middle <= last


def restarts_lately(facts: Facts, pod: Body, container: str) -> str | None:
    """Tell how often a container began again within the window: its status counts since the pod was made."""
    counted = sorted(points_of(facts, pod, "restarts", container))
    times = counted[-1][1] - counted[0][1] if counted else 0
    if times < 1:
        return None
    minutes = (counted[-1][0] - counted[0][0]) / (60 * MICROSECONDS)
    return f"{container} began again {times:.0f} times in {minutes:.0f} min"


def at_limit(facts: Facts, pod: Body, container: str, end: datetime | None) -> bool:
    """Whether a container's memory was all but used up when it was measured last before its end."""
    limit = memory_limit(pod, container)
    if end is None or not limit:
        return False
    until = int(end.timestamp() * MICROSECONDS)
    since = until - NOW_S * MICROSECONDS
    values = [value for at, value in points_of(facts, pod, "memory_bytes", container) if since <= at <= until]
    return bool(values) and values[-1] >= AT_LIMIT * limit


def memory_limit(pod: Body, container: str) -> float | None:
    """Return a container's memory limit in bytes; None if it has none."""
    text = part(container_named(pod, container), "resources", "limits").get("memory")
    try:
        return float(quantity(str(text))) if text is not None else None
    except ValueError:
        return None


def cpu_limit(pod: Body, container: str) -> str:
    """Return a container's CPU limit as it is written; empty if it has none."""
    return str(part(container_named(pod, container), "resources", "limits").get("cpu", ""))
