"""The strategy in use: kept across restarts, switched at run time, the same in every replica."""

from stellwerk.trust.principal import Principal
from stellwerk.work.balancing.strategy import StrategyName


class UnknownStrategy(Exception):
    """Refuse a name that is no strategy."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Invalid strategy: {name}")
        self.name = name


class Balancing:
    """Load, switch and publish the strategy in use."""

    @property
    def strategy(self) -> StrategyName:
        """The strategy that chooses now."""
        raise NotImplementedError

    async def start(self) -> None:
        """Take up the strategy that was switched to last, and follow switches made by other replicas."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop following."""
        raise NotImplementedError

    async def switch(self, principal: Principal, name: str) -> StrategyName:
        """Switch for good (name in any case); durable, audited and in force here on return. Raises UnknownStrategy."""
        raise NotImplementedError

    async def statistics(self) -> "BalancerStatistics":
        """Return what `GET /load-balancer/stats` shows."""
        raise NotImplementedError


class BalancerStatistics:
    """See the fields of the same name in the published interface."""

    strategy: StrategyName
    total_assignments: int
    successful_assignments: int
    failed_assignments: int
    success_rate: float
    active_agents: int
    agent_weights: int
    avg_agent_load: float
