"""How two documents differ, value by value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stellwerk.release.application.mapping import spelled


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs; None where it is not there."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any, path: tuple[str | int, ...] = ()) -> Iterator[Difference]:
    """List what differs, in the order of names; lists are compared as wholes."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from differences(before.get(name), after.get(name), (*path, name))
    elif type(before) is not type(after) or before != after:
        yield Difference(spelled(path), before, after)
