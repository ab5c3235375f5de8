"""Routes about the service itself: balancing, registry, health."""

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.http.instants import iso
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.coordinator.figures import Figures
from stellwerk.interfaces.coordinator.wire import agents, health
from stellwerk.interfaces.coordinator.wire import tasks as wire
from stellwerk.trust.scopes import Scope
from stellwerk.work.switching import Balancing

UNAVAILABLE = "Load balancer not available"


class ServiceRoutes:
    """See the module."""

    def __init__(self, balancing: Balancing, figures: Figures, clock: Clock) -> None:
        self._balancing = balancing
        self._figures = figures
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/load-balancer/stats",
                handle=self.balancer,
                scope=Scope.TASKS_READ,
                summary="Show figures of the balancing",
                tag="balancing",
                gives=wire.BalancerStats,
                failure="Error getting load balancer stats",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="PUT",
                path="/load-balancer/strategy",
                handle=self.switch,
                scope=Scope.TASKS_ADMIN,
                summary="Switch the balancing strategy, for good",
                tag="balancing",
                query=wire.StrategyQuery,
                gives=wire.StrategySet,
                refuses=(400,),
                failure="Error setting load balancing strategy",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="GET",
                path="/registry/stats",
                handle=self.registry,
                scope=Scope.FLEET_READ,
                summary="Count the agents",
                tag="agents",
                gives=agents.RegistryStats,
                failure="Error getting registry stats",
                unavailable="Agent registry not available",
            ),
            Operation(
                method="GET",
                path="/health",
                handle=self.health,
                scope=None,
                summary="Say that the service is up",
                description="Whether it can work is what `/ready` tells.",
                tag="health",
                gives=health.Health,
            ),
            Operation(
                method="GET",
                path="/",
                handle=self.root,
                scope=None,
                summary="Say what this is",
                tag="health",
                gives=health.Service,
            ),
        ]

    async def balancer(self, call: Call[None, None]) -> Answer:
        return wire.BalancerStats(stats=await self._figures.balancer(), timestamp=self._now())

    async def switch(self, call: Call[None, wire.StrategyQuery]) -> Answer:
        name = call.query.strategy
        await self._balancing.switch(call.principal, name)
        return wire.StrategySet(
            message=f"Load balancing strategy set to {name}", strategy=name, updated_at=self._now()
        )

    async def registry(self, call: Call[None, None]) -> Answer:
        now_us = self._clock.now_us()
        return agents.RegistryStats(stats=self._figures.registry(now_us), timestamp=iso(now_us))

    async def health(self, call: Call[None, None]) -> Answer:
        return health.Health(version=__version__, timestamp=self._now())

    async def root(self, call: Call[None, None]) -> Answer:
        return health.Service(version=__version__)

    def _now(self) -> str:
        return iso(self._clock.now_us())
