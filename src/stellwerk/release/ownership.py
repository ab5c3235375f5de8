"""Whose an object is: the marks by which it is known as ours, in the cluster itself."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from stellwerk.release.objects import Body

MANAGED_BY = "app.kubernetes.io/managed-by"
PRODUCT = "stellwerk"
APPLICATION = "stellwerk.dev/application"
INSTANCE = "stellwerk.dev/instance"
SERVICE = "stellwerk.dev/service"
WAVE = "stellwerk.dev/wave"
KEEP = "stellwerk.dev/keep"
HOOK = "stellwerk.dev/hook"

PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
"""Never deleted, whoever asks."""


class Identity(NamedTuple):
    """An application instance: what owns objects, has releases, and runs one operation at a time."""

    application: str
    instance: str

    @property
    def manager(self) -> str:
        """Return the name under which the API server notes our fields."""
        return f"{PRODUCT}-{self.application}"

    def labels(self, service: str | None = None) -> dict[str, str]:
        """Return the marks of what is ours, or of what is one service's."""
        marks = {MANAGED_BY: PRODUCT, APPLICATION: self.application, INSTANCE: self.instance}
        return marks if service is None else marks | {SERVICE: service}


class Owner(NamedTuple):
    """Whose an object says that it is."""

    identity: Identity
    service: str


def owner_of(live: Mapping[str, Any]) -> Owner | None:
    """Return whose an object is by its labels; None if they do not say that we made it."""
    labels = live.get("metadata", {}).get("labels") or {}
    if labels.get(MANAGED_BY) != PRODUCT or APPLICATION not in labels:
        return None
    return Owner(Identity(labels[APPLICATION], labels.get(INSTANCE, "")), labels.get(SERVICE, ""))


def marked(body: Body, identity: Identity, service: str) -> Body:
    """Return a copy of an object that carries our marks; the rest is shared with the original."""
    metadata = body["metadata"]
    labels = (metadata.get("labels") or {}) | identity.labels(service)
    return body | {"metadata": metadata | {"labels": labels}}


def annotation(body: Mapping[str, Any], name: str) -> str | None:
    """Return an annotation of an object; None if it has none."""
    value = (body.get("metadata", {}).get("annotations") or {}).get(name)
    return None if value is None else str(value)


def is_kept(body: Mapping[str, Any]) -> bool:
    """Tell whether an object is annotated to be kept: by anything but `false`."""
    value = annotation(body, KEEP)
    return value is not None and value.lower() != "false"
