"""Priorities, and ageing that touches no waiting row.

A task's rank is fixed when it is submitted: the instant of its submission, moved back by one ageing step
for each ten of its priority. Among waiting tasks the smallest rank goes first, so a task of a lower class
overtakes one that was submitted a step later in the next class. All ranks grow with time alike: nothing has
to be rewritten.
"""

from stellwerk.work.refusals import InvalidPriority

CLASSES = {"low": 0, "normal": 10, "high": 20, "critical": 30, "urgent": 40}
"""The named priorities."""
LOWEST, HIGHEST = 0, 49
_NAMES = {number // 10: name for name, number in CLASSES.items()}


def priority_named(name: str) -> int:
    """Return the number of a named priority, in any letter case. Raises InvalidPriority."""
    number = CLASSES.get(name) if name in CLASSES else CLASSES.get(name.lower())
    if number is None:
        raise InvalidPriority(name)
    return number


def check_priority(priority: int) -> int:
    """Return the number if it is within 0 … 49. Raises InvalidPriority."""
    if not LOWEST <= priority <= HIGHEST:
        raise InvalidPriority(str(priority))
    return priority


def class_of(priority: int) -> str:
    """Return the name of the class that the number falls into: `normal` for 10 … 19."""
    return _NAMES[priority // 10]


def rank_at(submitted_at: int, priority: int, ageing_step_us: int) -> int:
    """Return the rank, in microseconds; the smallest goes first."""
    return submitted_at - priority * ageing_step_us // 10
