"""Manifests as they are sent; they are shown as YAML."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from stellwerk.interfaces.conductor.wire.form import Asked, InstanceQuery, Name

Key = Annotated[str, Meta(min_length=1, max_length=512, description="`namespace/Kind/name`.")]
Template = Annotated[
    str, Meta(max_length=1_048_576, description="YAML of the object; a template, as files are.")
]


class ManifestsQuery(InstanceQuery, kw_only=True):
    """Which manifests."""

    overridden: Annotated[bool, Meta(description="Only those that an override describes.")] = False


class NewManifest(Asked, kw_only=True):
    """`service` says where an object belongs that is not described yet."""

    key: Key
    value: Template
    service: Name | UnsetType = UNSET


class ChangedManifest(Asked, kw_only=True):
    """What stands in the place of an object."""

    value: Template
