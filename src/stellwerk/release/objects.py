"""Objects of a cluster: how they are named, and what tells two renderings of one apart."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

Body = dict[str, Any]
"""An object as JSON: what Kubernetes alone knows the shape of."""

DEFAULT_NAMESPACE = "default"


class Key(NamedTuple):
    """One object, whatever version its kind is written in."""

    namespace: str
    """Empty for what belongs to the whole cluster."""
    kind: str
    name: str
    group: str = ""
    """Of the API; empty for the core."""

    def __str__(self) -> str:
        """Return the form of the wire, `namespace/Kind/name`, which shows no group."""
        return f"{self.namespace or DEFAULT_NAMESPACE}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object that an application wants to be there."""

    key: Key
    api_version: str
    service: str
    file: str
    """Path below the folder of manifests."""
    body: Body
    """As rendered, with its namespace filled in. Not to be changed."""
    hash: str
    """Of the body; equal for equal objects."""


def group_of(api_version: str) -> str:
    """Return the group of `group/version`; empty for the core's `v1`."""
    group, slash, _ = api_version.rpartition("/")
    return group if slash else ""


def key_of(body: Mapping[str, Any]) -> Key:
    """Name an object by its own text. Raises KeyError where kind or name is missing."""
    metadata = body["metadata"]
    return Key(
        metadata.get("namespace") or "", body["kind"], metadata["name"], group_of(body.get("apiVersion", ""))
    )


def content_hash(body: Body, secret_key: bytes) -> str:
    """Hash an object's canonical JSON.

    The values of a Secret are replaced by keyed hashes first: hashes are stored and shown, and a short
    password could be found from a plain one by trying.
    """
    if body.get("kind") == "Secret" and body.get("apiVersion") == "v1":
        body = body | {
            name: _sealed(body[name], secret_key) for name in ("data", "stringData") if name in body
        }
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def _sealed(values: object, secret_key: bytes) -> object:
    def seal(value: object) -> str:
        return hmac.digest(secret_key, msgspec.json.encode(value, order="sorted"), "sha256").hex()

    return {name: seal(value) for name, value in values.items()} if isinstance(values, dict) else seal(values)
