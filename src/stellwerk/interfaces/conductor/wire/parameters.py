"""Parameters, their instances and their history, as they are sent and shown."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from stellwerk.http.instants import Timestamp
from stellwerk.interfaces.conductor.wire.form import Asked, InstanceQuery, Object, Shown, Text
from stellwerk.interfaces.conductor.wire.operations import ShownChange


class ChangeQuery(InstanceQuery, kw_only=True):
    """Which instance, and why."""

    why: Annotated[Text, Meta(description="Why; kept in the history.")] = ""


class Change(Shown, kw_only=True, omit_defaults=True):
    """A change was stored. `hints`: what is allowed and has no effect, such as unknown services."""

    message: str
    version: int
    hints: dict[str, str] = field(default_factory=dict)


class Violation(Shown, kw_only=True):
    """One value that would be refused."""

    path: str
    message: str
    keyword: str
    """Of JSON schema."""


class Validity(Shown, kw_only=True):
    """What would be refused, and what would have no effect."""

    valid: bool
    violations: list[Violation]
    hints: dict[str, str]


class Values(Shown, kw_only=True):
    """What holds for a service, and what its workload in the cluster has."""

    merged: Object
    deployed: Object | UnsetType = UNSET


class NewInstance(Asked, kw_only=True):
    """Without a name, the first free `config-N` is taken."""

    name: Annotated[str, Meta(min_length=1, max_length=63)] | UnsetType = UNSET


class CreatedInstance(Shown, kw_only=True):
    """An instance was made, with the parameters of `default`."""

    name: str
    namespace: str
    message: str


class Message(Shown, kw_only=True):
    """Something was done."""

    message: str


class HistoryQuery(InstanceQuery, kw_only=True):
    """Which versions."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class ShownVersion(Shown, kw_only=True):
    """One version; `restored` is the version that was stored again."""

    version: int
    action: Literal["replaced", "merged", "copied", "restored", "removed", "found"]
    at: Timestamp
    by: str
    why: str
    restored: int | None


class ShownHistory(Shown, kw_only=True):
    """Versions of an instance, newest first."""

    versions: list[ShownVersion]


class WholeVersion(ShownVersion, kw_only=True):
    """A version with its document, and how that differs from the one before."""

    parameters: Object | None
    changes: list[ShownChange]
