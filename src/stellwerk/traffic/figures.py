"""Figures per version over a sliding window: calls, errors, percentiles of their durations.

Durations are counted in buckets that grow by an eighth, so a percentile is at most some six percent off, and
a version costs little memory however many calls it takes. The window moves in slices: it is between its
length and a slice more.
"""

from bisect import bisect_left
from collections import Counter, deque
from math import ceil

import msgspec

from stellwerk.clock import MICROSECONDS
from stellwerk.traffic.execution import VersionFigures

SLICES = 30
_GROWTH = 1.125
_BOUNDS_MS: list[float] = [0.25]
while _BOUNDS_MS[-1] < 4_000_000:
    _BOUNDS_MS.append(_BOUNDS_MS[-1] * _GROWTH)


class _Slice(msgspec.Struct):
    number: int
    calls: int = 0
    errors: int = 0
    buckets: Counter[int] = msgspec.field(default_factory=Counter)


class Figures:
    """What ended lately, by group and version."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._slice_us = max(1, int(window_s * MICROSECONDS / SLICES))
        self._slices: dict[tuple[str, str], deque[_Slice]] = {}

    def record(self, key: tuple[str, str], now_us: int, *, ok: bool, took_ms: float) -> None:
        """Count an execution that ended."""
        slices = self._slices.setdefault(key, deque())
        number = now_us // self._slice_us
        if not slices or slices[-1].number != number:
            self._drop_old(slices, number)
            slices.append(_Slice(number))
        last = slices[-1]
        last.calls += 1
        last.errors += not ok
        last.buckets[bisect_left(_BOUNDS_MS, took_ms)] += 1

    def of(self, key: tuple[str, str], now_us: int) -> VersionFigures:
        """Sum up a version."""
        slices = self._slices.get(key)
        window_s = round(self._window_s)
        if not slices:
            return VersionFigures(window_s=window_s)
        self._drop_old(slices, now_us // self._slice_us)
        buckets: Counter[int] = Counter()
        for one in slices:
            buckets.update(one.buckets)
        return VersionFigures(
            window_s=window_s,
            calls=sum(one.calls for one in slices),
            errors=sum(one.errors for one in slices),
            p50_ms=percentile(buckets, 0.5),
            p95_ms=percentile(buckets, 0.95),
            p99_ms=percentile(buckets, 0.99),
        )

    def forget(self, group: str) -> None:
        """Drop a group that is gone."""
        for key in [key for key in self._slices if key[0] == group]:
            del self._slices[key]

    def _drop_old(self, slices: deque[_Slice], number: int) -> None:
        while slices and slices[0].number < number - SLICES:
            slices.popleft()


def percentile(buckets: Counter[int], share: float) -> float | None:
    """Return the duration, in milliseconds, within which that share of the calls ended; None for no calls."""
    total = sum(buckets.values())
    if not total:
        return None
    wanted, seen = ceil(total * share), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return _middle(bucket)
    return None


def _middle(bucket: int) -> float:
    upper = _BOUNDS_MS[min(bucket, len(_BOUNDS_MS) - 1)]
    lower = _BOUNDS_MS[bucket - 1] if bucket else 0.0
    return round((lower + upper) / 2, 3)
