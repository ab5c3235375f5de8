"""A circuit breaker: leaves an endpoint alone for a while after several failures in a row."""


class Breaker:
    """Counts the failures of one endpoint. `now_s` is any clock that does not go back."""

    __slots__ = ("_failures", "_limit", "_open_until_s", "_reset_s")

    def __init__(self, limit: int, reset_s: float) -> None:
        self._limit = limit
        self._reset_s = reset_s
        self._failures = 0
        self._open_until_s = 0.0

    def is_open(self, now_s: float) -> bool:
        """Whether the endpoint is left alone."""
        return now_s < self._open_until_s

    def succeeded(self) -> None:
        """Take note that the endpoint answered."""
        self._failures = 0

    def failed(self, now_s: float) -> bool:
        """Take note of a failure; tell whether this one opened the breaker.

        After the pause one failure opens it again, until the endpoint has answered.
        """
        self._failures += 1
        if self._failures < self._limit or self.is_open(now_s):
            return False
        self._open_until_s = now_s + self._reset_s
        return True
