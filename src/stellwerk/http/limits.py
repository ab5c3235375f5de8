"""Rates: token buckets, one for each caller, in bounded memory."""

from collections import OrderedDict
from dataclasses import dataclass

MICROSECONDS = 1_000_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_us: int


class Rate:
    """Lets each caller through `per_s` times a second and `burst` times at once; 0 per second lets
    everything through.

    Callers that were quiet longest are forgotten beyond `callers`; a forgotten caller starts with a full
    bucket, so memory stays bounded whoever calls.
    """

    __slots__ = ("_buckets", "_burst", "_callers", "_per_us")

    def __init__(self, per_s: float, burst: float, callers: int = 10_000) -> None:
        self._per_us = per_s / MICROSECONDS
        self._burst = max(1.0, burst)
        self._callers = callers
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    @property
    def unlimited(self) -> bool:
        """Whether everything is let through."""
        return self._per_us <= 0.0

    def take(self, caller: str, now_us: int) -> float:
        """Take one token; return 0.0 when there was one, else the seconds until there is."""
        if self._per_us <= 0.0:
            return 0.0
        bucket = self._fill(caller, now_us)
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return 0.0
        return self._wait_s(bucket)

    def wait_s(self, caller: str, now_us: int) -> float:
        """Return what `take` would, and take nothing."""
        if self._per_us <= 0.0 or caller not in self._buckets:
            return 0.0
        bucket = self._fill(caller, now_us)
        return 0.0 if bucket.tokens >= 1.0 else self._wait_s(bucket)

    def _wait_s(self, bucket: _Bucket) -> float:
        return (1.0 - bucket.tokens) / self._per_us / MICROSECONDS

    def _fill(self, caller: str, now_us: int) -> _Bucket:
        bucket = self._buckets.get(caller)
        if bucket is None:
            if len(self._buckets) >= self._callers:
                self._buckets.popitem(last=False)
            bucket = self._buckets[caller] = _Bucket(self._burst, now_us)
            return bucket
        self._buckets.move_to_end(caller)
        gained = max(0, now_us - bucket.at_us) * self._per_us
        bucket.tokens = min(self._burst, bucket.tokens + gained)
        bucket.at_us = now_us
        return bucket
