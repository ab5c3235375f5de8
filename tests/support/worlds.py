"""Small worlds of objects for the rules of releases."""

from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, settings

from stellwerk.release.objects import Body, Manifest, content_hash, key_of
from stellwerk.release.ownership import Identity, marked

US = Identity("shop", "default")
THEM = Identity("bank", "default")
SECRET_KEY = b"k" * 32

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties on a machine that does other things as well: a pause is no slow example."""


def body(
    kind: str = "ConfigMap",
    name: str = "one",
    *,
    namespace: str = "shop",
    api_version: str = "v1",
    annotations: Mapping[str, str] | None = None,
    **rest: Any,
) -> Body:
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def manifest(body: Body, service: str = "web", file: str = "web/one.yaml") -> Manifest:
    return Manifest(key_of(body), body["apiVersion"], service, file, body, content_hash(body, SECRET_KEY))


def live(body: Body, identity: Identity | None = US, service: str = "web", uid: str = "u-1") -> Body:
    """Return an object as the cluster would show it; without an identity nobody marked it."""
    shown = marked(body, identity, service) if identity else body
    return shown | {"metadata": shown["metadata"] | {"uid": uid, "resourceVersion": "1"}}
