"""Routes about parameters: what is stored, what holds, what may be, and what was."""

from typing import Any

import msgspec
from msgspec import UNSET

from stellwerk.http.operation import Answer, Call, Handle, Operation, Raw
from stellwerk.interfaces.conductor.errors import invalid, not_found
from stellwerk.interfaces.conductor.wire import parameters as wire
from stellwerk.interfaces.conductor.wire.form import InstanceQuery, Object
from stellwerk.release.deployed import deployed_values
from stellwerk.release.deploying import Deployer
from stellwerk.release.parameters.model import DEFAULT_INSTANCE, Document, UnknownInstance
from stellwerk.release.parameters.service import Parameters
from stellwerk.release.spelling import did_you_mean
from stellwerk.trust.scopes import Scope

TAG = "parameters"
UPDATED = "Parameters updated successfully"
IF_MATCH = {"type": "string", "description": "The `ETag` that was read, or `*`."}
DOCUMENT: Any = Object
"""A parameter document is any JSON object; its schema is the application's."""
encode = msgspec.json.Encoder().encode


class ParameterRoutes:
    """See the module."""

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer

    @property
    def _parameters(self) -> Parameters:
        return self._deployer.parameters

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            self._read("/api/parameters", self.get, DOCUMENT, "Show the parameters of an instance"),
            self._write("POST", self.replace, "Store parameters in place of those that are there"),
            self._write(
                "PATCH", self.merge, "Merge changes into the parameters (RFC 7396: `null` takes away)"
            ),
            self._read("/api/parameters/schema", self.schema, DOCUMENT, "Show what parameters may be", None),
            self._read(
                "/api/parameters/values",
                self.values,
                DOCUMENT,
                "Show what holds for each service, and what is deployed",
            ),
            Operation(
                method="POST",
                path="/api/parameters/validate",
                handle=self.validate,
                scope=Scope.PARAMETERS_READ,
                summary="Say what would be refused; nothing is stored",
                tag=TAG,
                takes=DOCUMENT,
                gives=wire.Validity,
            ),
            self._read(
                "/api/parameters/{service}",
                self.service,
                DOCUMENT,
                "Show everything that holds for a service",
            ),
        ]

    def _read(
        self,
        path: str,
        handle: Handle,
        gives: Any,
        summary: str,
        query: type[msgspec.Struct] | None = InstanceQuery,
    ) -> Operation:
        return Operation(
            method="GET",
            path=path,
            handle=handle,
            scope=Scope.PARAMETERS_READ,
            summary=summary,
            tag=TAG,
            query=query,
            gives=gives,
            refuses=(404,),
        )

    def _write(self, method: str, handle: Handle, summary: str) -> Operation:
        return Operation(
            method=method,
            path="/api/parameters",
            handle=handle,
            scope=Scope.PARAMETERS_WRITE,
            summary=summary,
            tag=TAG,
            takes=DOCUMENT,
            query=wire.ChangeQuery,
            headers={"If-Match": IF_MATCH},
            gives=wire.Change,
            refuses=(404, 412),
        )

    async def get(self, call: Call[None, InstanceQuery]) -> Answer:
        document = await self._document(call.query.instance)
        return Raw(encode(document.spec), headers=tag_of(document))

    async def replace(self, call: Call[Object, wire.ChangeQuery]) -> Answer:
        document = await self._parameters.replace(
            call.query.instance,
            call.body,
            principal=call.principal,
            why=call.query.why,
            if_match=if_match(call),
        )
        return self.changed(document)

    async def merge(self, call: Call[Object, wire.ChangeQuery]) -> Answer:
        document = await self._parameters.patch(
            call.query.instance,
            call.body,
            principal=call.principal,
            why=call.query.why,
            if_match=if_match(call),
        )
        return self.changed(document)

    async def schema(self, call: Call[None, None]) -> Answer:
        await self._deployer.source.read()
        return encode(self._parameters.schema())

    async def values(self, call: Call[None, InstanceQuery]) -> Answer:
        spec = (await self._document(call.query.instance)).spec
        live = await deployed_values(self._deployer, call.query.instance)
        found = {
            name: wire.Values(merged=self._parameters.merged(spec, name), deployed=live.get(name, UNSET))
            for name in self._deployer.source.last().services
        }
        return encode(found)

    async def validate(self, call: Call[Object, None]) -> Answer:
        await self._deployer.source.read()
        found = self._parameters.validate(call.body)
        return wire.Validity(
            valid=not found,
            violations=[
                wire.Violation(path=one.path, message=one.message, keyword=one.keyword) for one in found
            ],
            hints=self._hints(call.body) if not found else {},
        )

    async def service(self, call: Call[None, InstanceQuery]) -> Answer:
        document = await self._document(call.query.instance)
        application, name = self._deployer.source.last(), call.path["service"]
        if name not in application.services and name not in application.groups:
            known = [*application.services, *application.groups]
            raise not_found(f"There is no service {name!r}: {did_you_mean(name, known)}")
        merged = self._parameters.merged(document.spec, name)
        return Raw(encode(merged), headers=tag_of(document))

    async def _document(self, instance: str) -> Document:
        # Read afresh, because what holds where nothing is stored is a file of the application.
        await self._deployer.source.read()
        document = await self._parameters.get(instance)
        if not document.stored and instance != DEFAULT_INSTANCE:
            raise UnknownInstance(f"There is no instance {instance}")
        return document

    def changed(self, document: Document) -> Answer:
        """Answer that a document was stored."""
        body = wire.Change(message=UPDATED, version=document.version, hints=self._hints(document.spec))
        return Raw(encode(body), headers=tag_of(document))

    def _hints(self, spec: Any) -> dict[str, str]:
        return {one.path: one.message for one in self._parameters.hints(spec)}


def tag_of(document: Document) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that names this state of a document."""
    return ((b"etag", f'"{document.etag}"'.encode()),)


def if_match(call: Call[Any, Any]) -> str | None:
    """Return the state that a caller has read; None if that does not matter. Raises Problem for a list."""
    given = call.header(b"if-match")
    if given is None:
        return None
    if "," in given:
        raise invalid("If-Match: name one ETag, or *")
    return given.strip().removeprefix("W/").strip('"')
