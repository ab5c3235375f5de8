"""What all bodies have in common: names as the published interface writes them, `lastChecked`."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stellwerk.http.texts import PLAIN, STORABLE

Name = Annotated[str, Meta(min_length=1, max_length=253, pattern=PLAIN)]
Text = Annotated[str, Meta(max_length=1_000, pattern=STORABLE)]
Instance = Annotated[str, Meta(min_length=1, max_length=63)]
Object = dict[str, Any]
Resource = Annotated[
    str, Meta(description="`namespace/Kind/name`; namespace `default` where a kind has none.")
]


class Shown(msgspec.Struct, kw_only=True, rename="camel"):
    """Anything that is answered."""


class Asked(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Anything that is sent. A misspelt name is refused: who writes `service` did not mean all services."""


class InstanceQuery(Asked, kw_only=True):
    """Which instance of the application."""

    instance: Annotated[Instance, Meta(description="Instance of the application.")] = "default"
