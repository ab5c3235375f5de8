"""Routes about instances of the application, and the history of their parameters."""

from typing import Any

from msgspec import UNSET

from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.conductor.errors import not_found
from stellwerk.interfaces.conductor.parameters import IF_MATCH, ParameterRoutes, encode, if_match
from stellwerk.interfaces.conductor.rendering import differences, instant
from stellwerk.interfaces.conductor.wire import parameters as wire
from stellwerk.interfaces.conductor.wire.form import InstanceQuery
from stellwerk.release.deploying import Deployer
from stellwerk.release.parameters import differing
from stellwerk.release.parameters.model import Version
from stellwerk.trust.scopes import Scope

TAG = "parameters"
READ, WRITE = Scope.PARAMETERS_READ, Scope.PARAMETERS_WRITE
ONE = "/api/parameters/history/{version}"


class InstanceRoutes:
    """See the module."""

    def __init__(self, deployer: Deployer, parameters: ParameterRoutes, namespace: str) -> None:
        """`namespace`: where custom resources are kept."""
        self._parameters = deployer.parameters
        self._routes = parameters
        self._namespace = namespace

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET", path="/api/parameters/instances", handle=self.list, scope=READ,
                summary="List the instances", tag=TAG, gives=list[str],
            ),
            Operation(
                method="POST", path="/api/parameters/instances", handle=self.create, scope=WRITE,
                summary="Make an instance with the parameters of `default`", tag=TAG, takes=wire.NewInstance,
                body_required=False, gives=wire.CreatedInstance, refuses=(409,),
            ),
            Operation(
                method="DELETE", path="/api/parameters/instances/{instance}", handle=self.remove, scope=WRITE,
                summary="Forget the parameters of an instance; their history and what is deployed stay",
                tag=TAG, headers={"If-Match": IF_MATCH}, gives=wire.Message, refuses=(412,),
            ),
            Operation(
                method="GET", path="/api/parameters/history", handle=self.history, scope=READ,
                summary="List the versions of an instance's parameters, newest first", tag=TAG,
                query=wire.HistoryQuery, gives=wire.ShownHistory,
            ),
            Operation(
                method="GET", path=ONE, handle=self.version, scope=READ,
                summary="Show a version, and how it differs from the one before", tag=TAG,
                query=InstanceQuery, gives=wire.WholeVersion,
            ),
            Operation(
                method="POST", path=f"{ONE}/restore", handle=self.restore, scope=WRITE,
                summary="Store an older version again", tag=TAG, query=wire.ChangeQuery,
                headers={"If-Match": IF_MATCH}, gives=wire.Change, refuses=(412,),
            ),
        ]  # fmt: skip

    async def list(self, call: Call[None, None]) -> Answer:
        return encode(await self._parameters.instances())

    async def create(self, call: Call[wire.NewInstance | None, None]) -> Answer:
        name = None if call.body is None or call.body.name is UNSET else call.body.name
        made = (await self._parameters.create(name, principal=call.principal)).instance
        message = f"Created parameter instance: {made}"
        return wire.CreatedInstance(name=made, namespace=self._namespace, message=message)

    async def remove(self, call: Call[None, None]) -> Answer:
        name = call.path["instance"]
        await self._parameters.remove(name, principal=call.principal, if_match=if_match(call))
        return wire.Message(message=f"Removed parameter instance: {name}")

    async def history(self, call: Call[None, wire.HistoryQuery]) -> Answer:
        found = await self._parameters.history(call.query.instance, call.query.limit)
        return wire.ShownHistory(versions=[wire.ShownVersion(**_facts(one)) for one in found])

    async def version(self, call: Call[None, InstanceQuery]) -> Answer:
        instance, number = call.query.instance, _number(call.path["version"])
        found = await self._parameters.version(instance, number)
        before = await self._parameters.version(instance, number - 1) if number > 1 else None
        old = {} if before is None or before.spec is None else before.spec
        return wire.WholeVersion(
            **_facts(found),
            parameters=None if found.spec is None else dict(found.spec),
            changes=differences(differing.differences(old, found.spec or {})),
        )

    async def restore(self, call: Call[None, wire.ChangeQuery]) -> Answer:
        restored = await self._parameters.restore(
            call.query.instance,
            _number(call.path["version"]),
            principal=call.principal,
            why=call.query.why,
            if_match=if_match(call),
        )
        return self._routes.changed(restored)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise not_found(f"There is no version {text}")
    return int(text)


def _facts(one: Version) -> dict[str, Any]:
    return {
        "version": one.version,
        "action": one.action.value,
        "at": instant(one.at),
        "by": one.by,
        "why": one.why,
        "restored": one.restored,
    }
