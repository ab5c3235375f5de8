"""What is counted of the model, for the metrics. Since the process began, and bounded."""

from bisect import bisect_left
from collections import Counter
from typing import Literal

BUCKETS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)


class ModelFigures:
    """See the module."""

    def __init__(self) -> None:
        self.requests: Counter[Literal["success", "error"]] = Counter()
        self.tokens: Counter[Literal["prompt", "completion"]] = Counter()
        self.durations = [0] * (len(BUCKETS_S) + 1)
        """In buckets, not cumulated; the last is for longer ones."""
        self.seconds = 0.0
        self.retries: Counter[tuple[str, Literal["success", "error"]]] = Counter()
        """Requests that were made again, by phase and outcome."""

    def answered(self, seconds: float, prompt_tokens: int, completion_tokens: int) -> None:
        """Count an answer."""
        self.requests["success"] += 1
        self.tokens["prompt"] += prompt_tokens
        self.tokens["completion"] += completion_tokens
        self._took(seconds)

    def failed(self, seconds: float) -> None:
        """Count a request that was not answered."""
        self.requests["error"] += 1
        self._took(seconds)

    def _took(self, seconds: float) -> None:
        self.durations[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds
