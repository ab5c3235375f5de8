"""The strategies by name."""

from collections.abc import Callable

from stellwerk.work.balancing.capability_based import CapabilityBased
from stellwerk.work.balancing.consistent_hash import ConsistentHash
from stellwerk.work.balancing.least_connections import connections
from stellwerk.work.balancing.least_response_time import expected_response
from stellwerk.work.balancing.predictive import prospects
from stellwerk.work.balancing.resource_based import resources
from stellwerk.work.balancing.roster import Key, OrderedStrategy
from stellwerk.work.balancing.round_robin import turn
from stellwerk.work.balancing.strategy import Strategy, StrategyName
from stellwerk.work.balancing.weighted_round_robin import WeightedRoundRobin


class UnknownStrategy(Exception):
    """Refuse a name that is no strategy."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Invalid strategy: {name}")
        self.name = name


def _ordered(name: StrategyName, key: Key) -> Callable[[], Strategy]:
    return lambda: OrderedStrategy(name, key)


STRATEGIES: dict[StrategyName, Callable[[], Strategy]] = {
    StrategyName.ROUND_ROBIN: _ordered(StrategyName.ROUND_ROBIN, turn),
    StrategyName.LEAST_CONNECTIONS: _ordered(StrategyName.LEAST_CONNECTIONS, connections),
    StrategyName.LEAST_RESPONSE_TIME: _ordered(StrategyName.LEAST_RESPONSE_TIME, expected_response),
    StrategyName.WEIGHTED_ROUND_ROBIN: WeightedRoundRobin,
    StrategyName.RESOURCE_BASED: _ordered(StrategyName.RESOURCE_BASED, resources),
    StrategyName.CAPABILITY_BASED: CapabilityBased,
    StrategyName.PREDICTIVE: _ordered(StrategyName.PREDICTIVE, prospects),
    StrategyName.CONSISTENT_HASH: ConsistentHash,
}


def strategy_named(name: str) -> StrategyName:
    """Return the strategy of a name in any letter case. Raises UnknownStrategy."""
    try:
        return StrategyName(name.lower())
    except ValueError:
        raise UnknownStrategy(name) from None


def make_strategy(name: StrategyName) -> Strategy:
    """Make a strategy that knows nobody yet."""
    return STRATEGIES[name]()
