"""What sessions need of those who look and conclude."""

from collections.abc import Callable
from typing import Protocol

from stellwerk.clock import Clock
from stellwerk.inquiry.model import Budget, Bundle, Conclusion, Target
from stellwerk.release.clusters.cluster import Cluster

Progress = Callable[[str], None]
"""Is told in words what is being done now: `reading logs of 3 pods`. Cheap, never waits."""


class Detective(Protocol):
    """Looks at a cluster, and draws conclusions."""

    async def collect(
        self, cluster: Cluster, target: Target, *, budget: Budget, clock: Clock, progress: Progress
    ) -> Bundle:
        """Collect what concerns a target, within the budget.

        What cannot be read is a gap and no error. Raises ClusterUnavailable and NotSelected if nothing can
        be read at all. A target that is not there is no error: absence is evidence.
        """
        ...

    def conclude(self, bundle: Bundle) -> Conclusion:
        """Draw the conclusion: pure, the same from the same bundle, and quick (it runs in a thread)."""
        ...
