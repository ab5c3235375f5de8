"""What the sandbox refuses, and what it fills in."""

import base64
from collections.abc import Mapping
from typing import Any

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.objects import Body, Key

_IMMUTABLE = {
    ("apps", "Deployment"): ("selector",),
    ("apps", "StatefulSet"): ("selector", "serviceName", "volumeClaimTemplates"),
    ("apps", "DaemonSet"): ("selector",),
    ("batch", "Job"): ("selector", "template"),
    ("", "PersistentVolumeClaim"): ("accessModes", "storageClassName"),
}


def admit(objects: Mapping[Key, Body], key: Key, live: Body | None, text: Body) -> None:
    """Refuse what a cluster would. Raises Refused."""
    if key.namespace:
        space = objects.get(Key("", "Namespace", key.namespace))
        if space is None:
            raise Refused("namespace_missing", f'namespaces "{key.namespace}" not found', 404)
        if live is None and space["metadata"].get("deletionTimestamp"):
            message = f"namespace {key.namespace} is being terminated"
            raise Refused("namespace_terminating", message, 403)
    for name in _IMMUTABLE.get((key.group, key.kind), ()):
        before, after = _spec(live or {}).get(name), _spec(text).get(name)
        if live is not None and after is not None and before != after:
            raise Refused("immutable", f"{key.kind} {key.name}: spec.{name}: field is immutable", 422)
    if (key.group, key.kind) == ("apps", "Deployment"):
        _check_selector(key, text if live is None else live)


def defaulted(body: Body) -> Body:
    """Fill in what a cluster would, as far as the simulation needs it."""
    kind = (body["apiVersion"].rpartition("/")[0], body["kind"])
    match kind:
        case ("", "Secret") if body.get("stringData"):
            texts = {
                name: base64.b64encode(str(text).encode()).decode()
                for name, text in body["stringData"].items()
            }
            rest = {name: value for name, value in body.items() if name != "stringData"}
            return rest | {"data": (body.get("data") or {}) | texts}
        case ("apps", "Deployment" | "StatefulSet" | "ReplicaSet"):
            return body | {"spec": {"replicas": 1} | _spec(body)}
        case ("", "Namespace"):
            return body | {"status": {"phase": "Active"} | (body.get("status") or {})}
        case _:
            return body


def _encoded(texts: Mapping[str, Any]) -> dict[str, str]:
    return {name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}


def _check_selector(key: Key, body: Body) -> None:
    selector = (_spec(body).get("selector") or {}).get("matchLabels") or {}
    labels = ((_spec(body).get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not selector or any(labels.get(name) != value for name, value in selector.items()):
        message = "spec.template.metadata.labels: `selector` does not match template `labels`"
        raise Refused("invalid", f"Deployment {key.name}: {message}", 422)


def _spec(body: Body) -> dict[str, Any]:
    spec = body.get("spec")
    return spec if isinstance(spec, dict) else {}
