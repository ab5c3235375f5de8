"""OpenAPI documents and the page that shows them. Scripts and styles come from this installation, not from
a CDN."""

import functools
import gzip
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import msgspec

from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw

JsonObject = dict[str, Any]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
"""The page has no script of its own, so that its content security policy can forbid inline scripts."""

START = b"""SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, tryItOutEnabled: true
});
"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'"
)
DAY_S = 86_400
HTML = "text/html; charset=utf-8"
ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Document:
    """Head of an OpenAPI document."""

    title: str
    version: str
    description: str = ""


def documentation(title: str, document: Callable[[], JsonObject]) -> list[Operation]:
    """Make the operations of `/openapi.json` and `/docs`, which are public and describe themselves nowhere;
    `document` is asked once, at first use."""
    encoded = functools.cache(lambda: msgspec.json.encode(document()))
    return [
        _page("/openapi.json", JSON, encoded),
        _page("/docs", HTML, PAGE.format(title=title).encode, (b"content-security-policy", POLICY.encode())),
        *(_asset(name, media_type) for name, media_type in ASSETS.items()),
    ]


def merge(head: Document, parts: Iterable[tuple[str, Mapping[str, Any]]]) -> JsonObject:
    """Make one document of several interfaces': (interface name, its document) each.

    Components of the same name but different content get the interface's name in front. A path that two
    interfaces describe must be served by one of them only, so the first one's description stays.
    """
    merged: JsonObject = {"openapi": "3.1.0", "info": _info(head), "paths": {}, "components": {}, "tags": []}
    for name, document in parts:
        part = _renamed(document, _clashes(merged["components"], document.get("components", {}), name))
        for path, item in part.get("paths", {}).items():
            merged["paths"].setdefault(path, item)
        for kind, components in part.get("components", {}).items():
            merged["components"].setdefault(kind, {}).update(components)
        merged["tags"] += [tag for tag in part.get("tags", []) if tag not in merged["tags"]]
    return merged


def _info(head: Document) -> JsonObject:
    info = {"title": head.title, "version": head.version}
    return {**info, "description": head.description} if head.description else info


def _clashes(present: JsonObject, new: Mapping[str, Any], name: str) -> dict[str, str]:
    """Map the references of components that must be renamed to their new names.

    A component that refers to a renamed one has another content then, so this goes round until it rests.
    """
    renamed: dict[str, str] = {}
    while True:
        more = {
            f"#/components/{kind}/{key}": f"#/components/{kind}/{name}.{key}"
            for kind, components in new.items()
            for key, component in components.items()
            if key in present.get(kind, {}) and present[kind][key] != _with_references(component, renamed)
        }
        if more == renamed:
            return renamed
        renamed = more


def _renamed(document: Mapping[str, Any], renamed: dict[str, str]) -> JsonObject:
    """Copy the document with components and the references to them renamed."""
    copy: JsonObject = _with_references(document, renamed)
    for kind, components in copy.get("components", {}).items():
        copy["components"][kind] = {
            renamed.get(f"#/components/{kind}/{key}", key).rpartition("/")[2]: component
            for key, component in components.items()
        }
    return copy


def _with_references(value: Any, renamed: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_references(inner, renamed) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_references(inner, renamed) for inner in value]
    return renamed.get(value, value) if isinstance(value, str) else value


def _asset(name: str, media_type: str) -> Operation:
    compressed = functools.partial(_compressed, name)
    cached = (b"cache-control", b"max-age=%d" % DAY_S)
    return _page(f"/docs/{name}", media_type, compressed, (b"content-encoding", b"gzip"), cached)


def _page(path: str, media_type: str, make: Callable[[], bytes], *headers: tuple[bytes, bytes]) -> Operation:
    async def page(call: Call[None, None]) -> Answer:
        return Raw(make(), media_type, headers=headers)

    return Operation(
        method="GET", path=path, handle=page, scope=None, summary="", tag="documentation", gives=media_type
    )


@functools.cache
def _compressed(name: str) -> bytes:
    """Hold the file compressed: 0.5 MB instead of 2, and only once somebody reads the page."""
    vendor = files("openapi_ui_bundles").joinpath("swagger_ui", "vendor")
    plain = START if name == "start.js" else vendor.joinpath(name).read_bytes()
    return gzip.compress(plain, 6, mtime=0)


PAGES = frozenset(page.path for page in documentation("", dict))
"""Paths of the document and its page."""
