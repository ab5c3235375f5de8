"""Objects without what proves nothing: bookkeeping, images of nodes, long texts."""

from typing import Any

from stellwerk.release.objects import Body

LONGEST_VALUE = 8_192
"""Characters of one value of a ConfigMap: whole configuration files, no data."""
_NOISE = frozenset({"managedFields", "selfLink"})
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""A copy of the object itself."""


def trimmed(body: Body) -> Body:
    """Return what is kept of an object."""
    metadata = {name: value for name, value in (body.get("metadata") or {}).items() if name not in _NOISE}
    notes = metadata.get("annotations") or {}
    if _LAST_APPLIED in notes:
        metadata["annotations"] = {name: value for name, value in notes.items() if name != _LAST_APPLIED}
    kept = body | {"metadata": metadata}
    match body.get("kind"):
        case "Node":
            kept["status"] = {
                name: value for name, value in (body.get("status") or {}).items() if name != "images"
            }
        case "ConfigMap":
            kept["data"] = {name: _short(value) for name, value in (body.get("data") or {}).items()}
        case _:
            pass
    return kept


def outlined(body: Body) -> Body:
    """Return what is kept of a ConfigMap that nobody around the target uses: that it is there."""
    return {
        name: value for name, value in trimmed(body).items() if name in {"apiVersion", "kind", "metadata"}
    }


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + f"… ({len(text)} characters)"
