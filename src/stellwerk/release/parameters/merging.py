"""How parameters are laid over each other.

For one service, from the weakest: what is built in, the application's `global`, the stored `global`; then
what names the service itself: the application's defaults for its groups and for it, the stored ones for its
groups and for it. So what names a service beats what is global, and of those what is stored beats what the
application brought along: `services.redis.replicas: 5` reaches every member of the group `redis`.

Mappings are merged at every depth, anything else replaces; `null` takes away what a weaker layer set.
"""

from collections.abc import Mapping
from typing import Any

from stellwerk.release.application.application import Application, groups_of

BUILT_IN: Mapping[str, Any] = {"global": {"namespace": "default", "namePrefix": "", "replicas": 1}}
"""What holds where neither the application nor anybody said more."""


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `upper` over `lower` (RFC 7396); neither is changed."""
    result = dict(lower)
    for name, value in upper.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            below = lower.get(name)
            result[name] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def effective(application: Application, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored document with everything that holds beneath it."""
    return merge(merge(BUILT_IN, application.defaults), spec)


def global_view(application: Application, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `global` is to every service."""
    return _mapping(effective(application, spec), "global")


def service_view(application: Application, spec: Mapping[str, Any], service: str) -> dict[str, Any]:
    """Return everything that holds for one service."""
    result = global_view(application, spec)
    names = (*groups_of(application, service), service)
    for layer in (application.defaults, spec):
        own = _mapping(layer, "services")
        for name in names:
            result = merge(result, _mapping(own, name))
    return result


def _mapping(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return dict(found) if isinstance(found, Mapping) else {}
