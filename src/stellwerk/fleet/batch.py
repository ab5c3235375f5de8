"""What is written later: heartbeat times, reported loads, outcomes. At most one second of it may be lost
with the process."""

from collections.abc import Iterable

import msgspec

Key = tuple[str, str]
"""Group and instance."""


class Outcomes(msgspec.Struct):
    """How tasks ended with an instance since the last write, and its moving average of the response time
    with them."""

    succeeded: int = 0
    failed: int = 0
    response_ms: float = 0.0


class Taken(msgspec.Struct, frozen=True):
    """What one write is made of."""

    heard: set[Key]
    loaded: set[Key]
    outcomes: dict[Key, Outcomes]

    def __bool__(self) -> bool:
        return bool(self.heard or self.outcomes)


class Batch:
    """Collects until it is taken; who fails to write puts it back."""

    def __init__(self) -> None:
        self._heard: set[Key] = set()
        self._loaded: set[Key] = set()
        self._outcomes: dict[Key, Outcomes] = {}

    def heard(self, key: Key) -> None:
        """Remember that the instance was heard; when is read at the time of the write."""
        self._heard.add(key)

    def loaded(self, key: Key) -> None:
        """Remember that the instance also reported a load."""
        self._heard.add(key)
        self._loaded.add(key)

    def has_load(self, key: Key) -> bool:
        """Tell whether the load in memory is not yet in the database."""
        return key in self._loaded

    def outcomes_of(self, key: Key, response_ms: float) -> Outcomes:
        """Open the outcomes of an instance, whose average was `response_ms` before."""
        found = self._outcomes.get(key)
        if found is None:
            found = self._outcomes[key] = Outcomes(response_ms=response_ms)
        return found

    def take(self) -> Taken:
        """Take all that was collected."""
        taken = Taken(self._heard, self._loaded, self._outcomes)
        self._heard, self._loaded, self._outcomes = set(), set(), {}
        return taken

    def put_back(self, taken: Taken) -> None:
        """Give back what could not be written; what was collected since is newer."""
        self._heard |= taken.heard
        self._loaded |= taken.loaded
        for key, old in taken.outcomes.items():
            newer = self._outcomes.get(key)
            if newer is None:
                self._outcomes[key] = old
            else:
                newer.succeeded += old.succeeded
                newer.failed += old.failed

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop what was collected of instances that are gone."""
        for key in keys:
            self._heard.discard(key)
            self._loaded.discard(key)
            self._outcomes.pop(key, None)
