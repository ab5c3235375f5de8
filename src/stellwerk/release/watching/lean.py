"""What stays in memory of an object that is watched: enough to judge and to show it, not what it holds.

An object may have a megabyte, a Secret what nobody may see; the rules read little of a spec. Whether
somebody changed what was left out is told by a digest.
"""

import hashlib

import msgspec

from stellwerk.release.clusters.bookkeeping import BOOKKEEPING
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body

LONGEST_NOTE = 256
"""Characters of an annotation; longer ones are documents of other programs."""
CONTENT = frozenset({"data", "binaryData", "stringData", "spec", "rules", "webhooks"})
READ_OF_SPEC = frozenset(
    {
        "clusterIP",
        "completions",
        "nodeName",
        "partition",
        "paused",
        "ports",
        "replicas",
        "restartPolicy",
        "scaleTargetRef",
        "selector",
        "suspend",
        "type",
        "updateStrategy",
    }
)
"""What health, reasons and answers read of any kind's spec."""


def lean(body: Body) -> Body:
    """Return what is kept of an object."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    notes = part(metadata, "annotations")
    metadata["annotations"] = {name: text for name, text in notes.items() if len(str(text)) <= LONGEST_NOTE}
    spec = {name: value for name, value in part(body, "spec").items() if name in READ_OF_SPEC}
    rest = {name: value for name, value in body.items() if name not in CONTENT}
    return rest | {"metadata": metadata, "spec": spec}


def meaning(body: Body) -> bytes:
    """Return a digest of what somebody may have set: all but the status and the server's bookkeeping."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in BOOKKEEPING}
    meant = {name: value for name, value in body.items() if name not in ("metadata", "status")}
    return hashlib.sha256(msgspec.json.encode([metadata, meant], order="sorted")).digest()[:16]
