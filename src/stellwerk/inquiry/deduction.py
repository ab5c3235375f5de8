"""The detective that needs no model: it concludes from what objects, events and logs prove.

How is loaded with the first investigation: analyzers are many modules, and a server should not start later
for them.
"""

from typing import TYPE_CHECKING

from stellwerk.clock import Clock
from stellwerk.inquiry.detective import Progress
from stellwerk.inquiry.model import Budget, Bundle, Conclusion, Target
from stellwerk.release.clusters.cluster import Cluster

if TYPE_CHECKING:
    from stellwerk.inquiry.evidence.measuring import Metrics


class Deduction:
    """A `Detective`."""

    def __init__(self, sealing_key: bytes | None = None, metrics: "Metrics | None" = None) -> None:
        """`sealing_key`: for keyed hashes of Secrets' values; None keeps the names of their keys only.

        `metrics`: what measures the cluster, if anything does.
        """
        self._sealing_key = sealing_key
        self._metrics = metrics

    async def collect(
        self, cluster: Cluster, target: Target, *, budget: Budget, clock: Clock, progress: Progress
    ) -> Bundle:
        """Collect what concerns a target, within the budget."""
        from stellwerk.inquiry.evidence.collecting import collect

        return await collect(
            cluster,
            target,
            budget=budget,
            clock=clock,
            progress=progress,
            sealing_key=self._sealing_key,
            metrics=self._metrics,
        )

    def conclude(self, bundle: Bundle) -> Conclusion:
        """Draw the conclusion."""
        from stellwerk.inquiry.linking.concluding import conclude

        return conclude(bundle)
