"""Routes about restarts."""

import msgspec

from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw
from stellwerk.interfaces.connector import rendering, wire
from stellwerk.interfaces.connector.dialects import Dialect, acting
from stellwerk.interfaces.connector.routes import Routes
from stellwerk.settings import ConnectorSettings
from stellwerk.traffic.restart import Restart, RestartState
from stellwerk.traffic.restarting import Restarting
from stellwerk.trust.connectors.capabilities import Capability

STATUS = {
    RestartState.REQUESTED: 202,
    RestartState.RESTARTED: 200,
    RestartState.TIMED_OUT: 504,
    RestartState.FAILED: 502,
}
encode = msgspec.json.Encoder().encode


class RestartRoutes(Routes):
    """See the module."""

    def __init__(self, dialect: Dialect, restarting: Restarting, settings: ConnectorSettings) -> None:
        super().__init__(dialect)
        self._restarting = restarting
        self._settings = settings

    def operations(self) -> list[Operation]:
        """List the routes."""
        restart, read = Capability.RESTART, Capability.VERSIONS_READ
        shown, of = wire.RestartShown, "/reasoners/{id}/restarts"
        answers = {202: shown, 502: shown, 504: shown}
        more = {"query": wire.RestartQuery, "refuses": (409,), "also": answers}
        return [
            self.route("POST", "/reasoners/{id}/restart", self.restart_agent, restart, shown,
                       "Restart all versions of an agent, one instance after the other", **more),
            self.route("POST", "/reasoners/{id}/versions/{version}/restart", self.restart_version, restart,
                       shown, "Restart a version; 202 if it has not come back within the wait", **more),
            self.route("GET", of, self.list_restarts, read, wire.Restarts,
                       "List the last restarts of an agent, newest first", misses=False),
            self.route("GET", of + "/{restart_id}", self.get_restart, read, shown, "Show a restart"),
        ]  # fmt: skip

    async def restart_agent(self, call: Call[None, wire.RestartQuery]) -> Answer:
        return await self._restart(call, None)

    async def restart_version(self, call: Call[None, wire.RestartQuery]) -> Answer:
        return await self._restart(call, call.path["version"])

    async def list_restarts(self, call: Call[None, None]) -> Answer:
        found = [rendering.restart(one) for one in await self._restarting.list(call.path["id"])]
        return wire.Restarts(restarts=found, total=len(found))

    async def get_restart(self, call: Call[None, None]) -> Answer:
        return rendering.restart(await self._restarting.get(call.path["id"], call.path["restart_id"]))

    async def _restart(self, call: Call[None, wire.RestartQuery], version: str | None) -> Answer:
        query = call.query
        begun = await self._restarting.request(acting(call), call.path["id"], version, force=query.force)
        wait_s = self._settings.restart_wait_s if query.wait_s is None else query.wait_s
        return _answer(await self._restarting.wait(begun, wait_s))


def _answer(one: Restart) -> Raw:
    return Raw(encode(rendering.restart(one)), JSON, STATUS[one.state])
