"""The figures that several routes and the observers show: distribution, queues, balancing, registry."""

from collections import Counter

from stellwerk.fleet.service import Fleet
from stellwerk.http.instants import iso
from stellwerk.interfaces.coordinator.rendering import SECOND_US
from stellwerk.interfaces.coordinator.wire.agents import RegistryFigures
from stellwerk.interfaces.coordinator.wire.tasks import BalancerFigures, DistributionFigures, QueueSizes
from stellwerk.interfaces.coordinator.words import AgentStatus, project_status
from stellwerk.work.service import Work


class Figures:
    """Puts the subjects' figures into the interface's shapes."""

    def __init__(self, fleet: Fleet, work: Work) -> None:
        self._fleet = fleet
        self._work = work

    async def distribution(self) -> DistributionFigures:
        """Show what was distributed, and how long tasks waited for it on average."""
        stats = await self._work.stats()
        mean_us = stats.distribution_us / stats.distributed if stats.distributed else 0.0
        return DistributionFigures(
            tasks_distributed=stats.distributed,
            tasks_completed=stats.completed,
            tasks_failed=stats.failed,
            avg_distribution_time=mean_us / SECOND_US,
            load_balancer_stats=await self.balancer(),
            queue_sizes=QueueSizes(**stats.queue_sizes),
        )

    async def queues(self) -> QueueSizes:
        """Show how many tasks wait."""
        return QueueSizes(**await self._work.queue_sizes())

    async def balancer(self) -> BalancerFigures:
        """Show how the balancing did."""
        stats = await self._work.balancing.statistics()
        return BalancerFigures(
            strategy=stats.strategy.value,
            total_assignments=stats.total_assignments,
            successful_assignments=stats.successful_assignments,
            failed_assignments=stats.failed_assignments,
            success_rate=stats.success_rate,
            active_agents=stats.active_agents,
            agent_weights=stats.agent_weights,
            avg_agent_load=stats.avg_agent_load,
        )

    def registry(self, now_us: int) -> RegistryFigures:
        """Count the agents by status word and type."""
        counts = self._fleet.counts()
        by_status: Counter[AgentStatus] = Counter()
        for (declared, presence), number in counts.standings.items():
            by_status[project_status(declared, presence)] += number
        return RegistryFigures(
            total_agents=counts.agents,
            status_counts={status.value: number for status, number in by_status.items()},
            type_counts=dict(counts.kinds),
            service_count=counts.services,
            capability_count=counts.capabilities,
            last_cleanup=iso(now_us),
        )
