"""Routes about manifests: as they are rendered now, and templates in the place of single objects."""

from typing import Any

import msgspec
from msgspec import UNSET

from stellwerk.http.operation import Answer, Call, Operation, Raw
from stellwerk.interfaces.conductor.rendering import without_secrets
from stellwerk.interfaces.conductor.wire import manifests as wire
from stellwerk.interfaces.conductor.wire.form import InstanceQuery
from stellwerk.release.manifests import Described, Manifests
from stellwerk.trust.scopes import Scope

TAG = "manifests"
YAML = "application/yaml"
ONE = "/manifests/{namespace}/{kind}/{name}"
NEXT = "Takes effect with the next `up` of its service. A template, as files are: it follows parameters."
encode = msgspec.json.Encoder().encode


class ManifestRoutes:
    """See the module."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests

    def operations(self) -> list[Operation]:
        """List the routes."""
        read, write = Scope.SERVICES_READ, Scope.SERVICES_ADMIN
        return [
            Operation(
                method="GET", path="/manifests", handle=self.list, scope=read, tag=TAG, gives=dict[str, str],
                summary="Show all manifests as they are rendered now, by `namespace/Kind/name`",
                query=wire.ManifestsQuery, refuses=(404,),
            ),
            Operation(
                method="GET", path=ONE, handle=self.show, scope=read, tag=TAG, gives=YAML,
                summary="Show a manifest as it is rendered now", query=InstanceQuery,
            ),
            Operation(
                method="POST", path="/manifests", handle=self.add, scope=write, tag=TAG, gives="text/plain",
                status=201, summary="Put a template in the place of an object, or beside a service's",
                description=NEXT, takes=wire.NewManifest, query=InstanceQuery, refuses=(404,),
            ),
            Operation(
                method="PUT", path=ONE, handle=self.change, scope=write, tag=TAG, gives="text/plain",
                summary="Put a template in the place of an object", description=NEXT,
                takes=wire.ChangedManifest, query=InstanceQuery,
            ),
            Operation(
                method="DELETE", path=ONE, handle=self.remove, scope=write, tag=TAG, gives="text/plain",
                status=204, summary="Let the application's own manifest hold again", query=InstanceQuery,
            ),
        ]  # fmt: skip

    async def list(self, call: Call[None, wire.ManifestsQuery]) -> Answer:
        found = await self._manifests.list(call.query.instance)
        shown = [one for one in found if one.overridden or not call.query.overridden]
        return encode({str(one.manifest.key): _text(one) for one in shown})

    async def show(self, call: Call[None, InstanceQuery]) -> Answer:
        found = await self._manifests.get(call.query.instance, _key(call))
        overridden = b"true" if found.overridden else b"false"
        return Raw(_text(found).encode(), YAML, headers=((b"x-overridden", overridden),))

    async def add(self, call: Call[wire.NewManifest, InstanceQuery]) -> Answer:
        body = call.body
        service = None if body.service is UNSET else body.service
        by = call.principal.id
        await self._manifests.put(call.query.instance, body.key, body.value, by=by, service=service)
        return Raw(b"", "text/plain", 201)

    async def change(self, call: Call[wire.ChangedManifest, InstanceQuery]) -> Answer:
        by = call.principal.id
        await self._manifests.put(call.query.instance, _key(call), call.body.value, by=by, known=True)
        return Raw(b"", "text/plain")

    async def remove(self, call: Call[None, InstanceQuery]) -> Answer:
        await self._manifests.remove(call.query.instance, _key(call), by=call.principal.id)
        return Raw(b"", "text/plain", 204)


def _key(call: Call[Any, Any]) -> str:
    return "/".join(call.path[name] for name in ("namespace", "kind", "name"))


def _text(one: Described) -> str:
    import yaml

    return yaml.safe_dump(without_secrets(one.manifest.body), sort_keys=False, allow_unicode=True)
