"""Namespaces that parameters ask for: `createNamespace: true`, for all services or for one.

They belong to no service that a request could name: a namespace is shared by services, and neither a subset
nor a removal of one of them may change or take what the others live in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stellwerk.release.objects import Body, Manifest, content_hash, key_of
from stellwerk.release.ownership import PROTECTED_NAMESPACES

WANTED = "createNamespace"
SHARED = "stellwerk_namespaces"
"""What they are kept under, where services have their names; no service can be called so."""


def namespaces_for(
    manifests: Sequence[Manifest], view: Callable[[str], Mapping[str, Any]], secret_key: bytes
) -> Iterator[Manifest]:
    """List the namespaces to create: of services that ask for it, unless a manifest describes them."""
    described = {one.key.name for one in manifests if one.key.kind == "Namespace" and not one.key.group}
    asking = {one.service for one in manifests if view(one.service).get(WANTED) is True}
    wanted = {one.key.namespace for one in manifests if one.service in asking and one.key.namespace}
    for name in sorted(wanted - described - PROTECTED_NAMESPACES):
        body: Body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        yield Manifest(key_of(body), "v1", SHARED, WANTED, body, content_hash(body, secret_key))
