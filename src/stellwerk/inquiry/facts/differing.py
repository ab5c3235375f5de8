"""What one pod template says otherwise than another, for people."""

from collections.abc import Iterator
from typing import Any

from stellwerk.release.objects import Body

LONGEST = 60
MOST = 8
_MADE = frozenset({"pod-template-hash"})


def differences(before: Body, after: Body) -> list[str]:
    """List what differs, as `containers.main.image: a → b`; at most some."""
    found = list(_differ(before, after, ""))
    return found[:MOST] + ([f"… {len(found) - MOST} more"] if len(found) > MOST else [])


def _differ(before: Any, after: Any, path: str) -> Iterator[str]:
    if before == after:
        return
    before, after = _by_name(before), _by_name(after)
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            if name not in _MADE:
                yield from _differ(before.get(name), after.get(name), f"{path}.{name}" if path else str(name))
        return
    yield f"{path}: {_shown(before)} → {_shown(after)}"


def _by_name(value: Any) -> Any:
    """Turn a list of named things into a mapping, so that their order does not count."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        return {one["name"]: {name: part for name, part in one.items() if name != "name"} for one in value}
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
