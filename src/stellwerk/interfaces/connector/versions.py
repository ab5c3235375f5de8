"""Routes about versions: how they stand, their weights, their removal."""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from stellwerk.fleet.errors import UnknownAgent, UnknownVersion
from stellwerk.fleet.model import AgentView
from stellwerk.fleet.service import Fleet
from stellwerk.fleet.versions import tag_of
from stellwerk.http.operation import JSON, Answer, Call, Operation
from stellwerk.http.operation import Raw as RawAnswer
from stellwerk.http.problem import Problem
from stellwerk.interfaces.connector import rendering, wire
from stellwerk.interfaces.connector.dialects import Dialect, acting
from stellwerk.interfaces.connector.errors import WEIGHT_RANGE, WEIGHT_REQUIRED, said
from stellwerk.interfaces.connector.routes import Routes
from stellwerk.traffic.execution import VersionStanding
from stellwerk.traffic.service import Traffic
from stellwerk.trust.connectors.capabilities import Capability

HIGHEST = 10_000
IF_MATCH = {"If-Match": {"type": "string", "description": "The ETag of the weights that were read."}}
encode = msgspec.json.Encoder().encode


class VersionRoutes(Routes):
    """See the module."""

    def __init__(self, dialect: Dialect, fleet: Fleet, traffic: Traffic) -> None:
        super().__init__(dialect)
        self._fleet = fleet
        self._traffic = traffic

    def operations(self) -> list[Operation]:
        """List the routes."""
        read, write = Capability.VERSIONS_READ, Capability.VERSIONS_WRITE
        one = "/reasoners/{id}/versions/{version}"
        return [
            self.route("GET", "/reasoners/{id}/versions", self.list_versions, read, wire.Versions,
                       "List the versions of an agent; the ETag names their weights"),
            self.route("GET", one, self.get_version, read, wire.VersionDetail, "Show a version"),
            self.route("DELETE", one, self.remove_version, write, wire.VersionRemoved,
                       "Remove a version; refused while it takes calls, unless forced",
                       query=wire.RemoveQuery, refuses=(409,)),
            self.route("PUT", f"{one}/weight", self.set_weight, write, wire.WeightSet,
                       "Set the weight of a version", takes=wire.SetWeight, headers=IF_MATCH, refuses=(412,)),
            self.route("PUT", "/reasoners/{id}/weights", self.set_weights, write, wire.WeightsSet,
                       "Set the weights of several versions, all or none", takes=wire.SetWeights,
                       headers=IF_MATCH, refuses=(412,)),
            self.route("PUT", "/reasoners/{id}/version", self.keep_version, Capability.REASONERS_WRITE,
                       wire.VersionKept, "Refused unless it changes nothing: agents say their versions",
                       takes=wire.SetVersion, refuses=(409,)),
        ]  # fmt: skip

    async def list_versions(self, call: Call[None, None]) -> Answer:
        view = await self._view(call.path["id"])
        rows = [rendering.version_row(one) for one in self._traffic.versions(view.group)]
        body = wire.Versions(id=view.group, versions=rows, total=len(rows))
        return _tagged(body, tag_of(view.versions))

    async def get_version(self, call: Call[None, None]) -> Answer:
        view = await self._view(call.path["id"], call.path["version"])
        return rendering.version_detail(view, self._standing(view, call.path["version"]))

    async def remove_version(self, call: Call[None, wire.RemoveQuery]) -> Answer:
        view = await self._view(call.path["id"], call.path["version"])
        one = self._standing(view, call.path["version"])
        if one.share_percent > 0 and not call.query.force:
            text = (
                f"version {one.version} takes {one.share_percent:g} % of the calls; set its weight to 0 first"
            )
            raise Problem.conflict(text, "version_in_rotation")
        await self._fleet.remove_version(acting(call), view.group, one.version)
        return wire.VersionRemoved(id=view.group, version=one.version)

    async def set_weight(self, call: Call[wire.SetWeight, None]) -> Answer:
        view = await self._view(call.path["id"], call.path["version"])
        version = self._standing(view, call.path["version"]).version
        weight = weight_of(call.body.weight)
        done = await self._fleet.set_weights(acting(call), view.group, {version: weight}, _expected(call))
        shares = self._shares(view.group)
        body = wire.WeightSet(
            id=view.group,
            version=version,
            previous_weight=done.previous.get(version),
            new_weight=weight,
            share_percent=shares.get(version, 0.0),
            shares=shares,
        )
        return _tagged(body, done.tag)

    async def set_weights(self, call: Call[wire.SetWeights, None]) -> Answer:
        view = await self._view(call.path["id"])
        wanted = {version: weight_of(raw) for version, raw in call.body.weights.items()}
        done = await self._fleet.set_weights(acting(call), view.group, wanted, _expected(call))
        body = wire.WeightsSet(
            id=view.group,
            previous_weights=dict(done.previous),
            weights=dict(done.weights),
            shares=self._shares(view.group),
        )
        return _tagged(body, done.tag)

    async def keep_version(self, call: Call[wire.SetVersion, None]) -> Answer:
        view = await self._view(call.path["id"])
        present = {one.version for one in view.versions}
        if present != {call.body.version}:
            text = (
                "an agent says its version itself when it registers; deploy the other version beside this one"
            )
            raise Problem.conflict(text, "version_is_the_agents")
        return wire.VersionKept(previous_version=call.body.version)

    async def _view(self, group: str, version: str | None = None) -> AgentView:
        view = await self._fleet.get_with(group, version=version)
        if view is None:
            raise UnknownAgent(group)
        return view

    def _standing(self, view: AgentView, version: str) -> VersionStanding:
        for one in self._traffic.versions(view.group):
            if one.version == version:
                return one
        raise UnknownVersion(view.group, version)

    def _shares(self, group: str) -> dict[str, float]:
        return rendering.shares(self._traffic.versions(group))


def weight_of(raw: Raw | UnsetType) -> int:
    """Read a weight, a whole number of 0 to 10000. Raises Problem, in the published words."""
    if raw is UNSET:
        raise said(400, WEIGHT_REQUIRED)
    value = msgspec.json.decode(raw)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise said(400, WEIGHT_REQUIRED)
    if not 0 <= value <= HIGHEST:
        raise said(400, WEIGHT_RANGE)
    return value


def _expected(call: Call[wire.SetWeight, None] | Call[wire.SetWeights, None]) -> str | None:
    """Read `If-Match`: the tag of the weights that must still be; None for any."""
    given = call.header(b"if-match")
    return None if given is None or given.strip() == "*" else given.strip().removeprefix("W/").strip('"')


def _tagged(body: wire.Wire, tag: str) -> RawAnswer:
    return RawAnswer(encode(body), JSON, headers=((b"etag", f'"{tag}"'.encode()),))
