"""The OpenAPI description of an interface, made of its operations.

The schemas are those of the wire types, so what is described is what is decoded. Every status that an
operation can answer is described: those of its own, and those that follow from its form (a body can be too
large, a scope can be missing).
"""

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from stellwerk.http.documentation import Document
from stellwerk.http.operation import JSON, Operation

JsonObject = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"
SECURITY: list[JsonObject] = [{}, {"bearer": []}, {"key": []}]
"""Also none: a loopback listener may be open."""
SCHEMES: JsonObject = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a connector's token."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "connector": {"type": "apiKey", "in": "header", "name": "X-Connector-Token"},
    "certificate": {"type": "mutualTLS", "description": "An agent's certificate."},
}
ALWAYS = (400, 403, 429, 500)
"""A malformed request, a foreign host or page, the caller's rate, an unexpected failure."""
WITH_BODY = (413, 415, 422)


def describe(
    head: Document,
    operations: Sequence[Operation],
    *,
    refusal: type,
    not_found: type,
    mentioned: Sequence[type] = (),
    refusal_media_type: str = JSON,
) -> JsonObject:
    """Describe operations; `mentioned` are types that only schemas refer to."""
    schemas = _Schemas(
        [refusal, not_found, *mentioned],
        (
            part
            for one in operations
            for part in (one.takes, one.gives, one.query, *one.also.values())
            if _is_type(part)
        ),
    )
    paths: JsonObject = {}
    for operation in operations:
        item = paths.setdefault(operation.path, {})
        item[operation.method.lower()] = _operation(
            operation, schemas, refusal, not_found, refusal_media_type
        )
    tags = dict.fromkeys(operation.tag for operation in operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": head.title, "version": head.version, "description": head.description},
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": SCHEMES},
        "tags": [{"name": tag} for tag in tags],
    }


def statuses(operation: Operation) -> Iterator[int]:
    """List the refusals that an operation can answer."""
    possible = {*ALWAYS, *operation.refuses}
    if operation.takes is not None:
        possible |= {*WITH_BODY}
    if operation.query is not None:
        possible.add(422)
    if operation.scope is not None or operation.check is not None:
        possible |= {401, 503}
    if operation.parameters and operation.misses:
        possible.add(404)
    yield from sorted(possible)


class _Schemas:
    """Schemas of wire types, with components for those that have a name."""

    def __init__(self, first: Iterable[type], rest: Iterable[Any]) -> None:
        types = list(dict.fromkeys([*first, *rest]))
        found, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
        self._of = {kind: _tidy(schema) for kind, schema in zip(types, found, strict=True)}
        self.components: JsonObject = {name: _tidy(schema) for name, schema in components.items()}

    def of(self, kind: Any) -> JsonObject:
        schema: JsonObject = self._of[kind]
        return schema

    def fields(self, kind: type[msgspec.Struct]) -> Iterator[tuple[str, JsonObject, bool]]:
        """List name, schema and necessity of each field."""
        schema = self.components[kind.__name__]
        for name, field in schema["properties"].items():
            yield name, field, name in schema.get("required", ())


def _operation(
    operation: Operation, schemas: _Schemas, refusal: type, not_found: type, media_type: str
) -> JsonObject:
    described: JsonObject = {
        "operationId": _identifier(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": _security(operation),
        "responses": {str(operation.status): _success(operation, schemas)},
    }
    if operation.scope is not None:
        described["x-required-scope"] = operation.scope.value
    elif operation.capability is not None:
        described["x-required-capability"] = operation.capability
    elif operation.check is not None:
        described["x-required-certificate"] = True
    if operation.description:
        described["description"] = operation.description
    parameters = list(_parameters(operation, schemas))
    if parameters:
        described["parameters"] = parameters
    if operation.takes is not None:
        content = {JSON: {"schema": schemas.of(operation.takes)}}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    for status in statuses(operation):
        described["responses"][str(status)] = _refusal(
            status, schemas.of(not_found if status == 404 else refusal), media_type
        )
    for status, kind in operation.also.items():
        content = {JSON: {"schema": schemas.of(kind)}}
        described["responses"][str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": content,
        }
    return described


def _security(operation: Operation) -> list[JsonObject]:
    if operation.capability is not None:
        return [{"bearer": []}, {"connector": []}]
    by_scope = [] if operation.scope is None else SECURITY
    return by_scope if operation.check is None else [*by_scope, {"certificate": []}]


def _success(operation: Operation, schemas: _Schemas) -> JsonObject:
    if _is_type(operation.gives):
        return {"description": "Done", "content": {JSON: {"schema": schemas.of(operation.gives)}}}
    return {"description": "Done", "content": {operation.gives: {"schema": {"type": "string"}}}}


def _refusal(status: int, schema: JsonObject, media_type: str) -> JsonObject:
    content = {media_type: {"schema": schema}}
    described: JsonObject = {"description": HTTPStatus(status).phrase, "content": content}
    if status in (429, 503):
        seconds = {"type": "integer", "minimum": 1}
        described["headers"] = {"Retry-After": {"schema": seconds, "description": "Seconds."}}
    return described


def _parameters(operation: Operation, schemas: _Schemas) -> Iterator[JsonObject]:
    for name in operation.parameters:
        schema = operation.path_schemas.get(name, {"type": "string", "minLength": 1})
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if operation.query is not None:
        for name, schema, required in schemas.fields(operation.query):
            yield {"name": name, "in": "query", "required": required, "schema": _without_null(schema)}
    for name, schema in operation.headers.items():
        yield {"name": name, "in": "header", "required": False, "schema": schema}


def _identifier(operation: Operation) -> str:
    return operation.identifier or f"{operation.handle.__name__}_{operation.tag}".replace(" ", "_")


def _without_null(schema: JsonObject) -> JsonObject:
    """A query parameter that is not given is left out; it is never null."""
    rest = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    kinds = [kind for kind in rest.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return rest
    del rest["anyOf"]
    return {**kinds[0], **rest}


def _tidy(schema: Any) -> Any:
    """Put in what stands in `x-replace`, drop titles that repeat the names, and list what is `x-required`:
    what may be missing for the decoder only, so that its absence is refused in published words."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    demanded = [name for name, part in schema.get("properties", {}).items() if "x-required" in part]
    if demanded:
        schema = {**schema, "required": [*schema.get("required", ()), *demanded]}
    if "x-replace" in schema:
        kept = {key: schema[key] for key in ("description", "examples") if key in schema}
        return {**kept, **schema["x-replace"]}
    return {
        key: _tidy(value)
        for key, value in schema.items()
        if key != "x-required" and not (key == "title" and isinstance(value, str))
    }


def _is_type(part: Any) -> bool:
    return part is not None and not isinstance(part, str)
