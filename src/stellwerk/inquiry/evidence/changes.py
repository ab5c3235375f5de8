"""Who changed what and when, as the cluster itself remembers: managed fields, and revisions."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from stellwerk.inquiry.facts.differing import differences
from stellwerk.inquiry.facts.facts import revision
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.templates import template_of
from stellwerk.inquiry.model import Change
from stellwerk.release.conditions import entries, instant, part
from stellwerk.release.kinship import made_by
from stellwerk.release.objects import Body

CONTROLLERS = frozenset(
    {"kube-controller-manager", "kubelet", "kube-scheduler", "kube-apiserver", "kube-proxy"}
)
"""Field managers that are the cluster itself; what they write follows, and introduces nothing."""
MOST_FIELDS = 6
_SECTIONS = (
    "f:spec",
    "f:data",
    "f:rules",
    "f:subjects",
    "f:roleRef",
    "f:webhooks",
    "f:binaryData",
    "f:stringData",
)


def changes_of(body: Body) -> Iterator[Change]:
    """List the last change of each manager that is a person or a tool."""
    for entry in entries(part(body, "metadata"), "managedFields"):
        manager, at = str(entry.get("manager", "")), instant(entry.get("time"))
        if manager in CONTROLLERS or at is None or entry.get("subresource"):
            continue
        fields = [path for path in _paths(part(entry, "fieldsV1")) if path]
        if fields:
            more = f" and {len(fields) - MOST_FIELDS} more" if len(fields) > MOST_FIELDS else ""
            what = f"set {', '.join(fields[:MOST_FIELDS])}{more}"
            yield Change(object=ref_of(body), at=_micros(at), by=manager, what=what)


def revisions_of(deployment: Body, replica_sets: Sequence[Body]) -> Iterator[Change]:
    """List what the newest revision of a Deployment changed in the one before."""
    own = sorted(made_by(deployment, replica_sets), key=revision)
    if len(own) < 2:
        return
    before, after = own[-2], own[-1]
    # A revision that is wanted again keeps its ReplicaSet: then its making is no time of a change.
    made_at = [instant(part(one, "metadata").get("creationTimestamp")) for one in (before, after)]
    at = made_at[1]
    if at is None or made_at[0] is None or at < made_at[0]:
        return
    what = "; ".join(differences(template_of(before), template_of(after)))
    note = part(after, "metadata", "annotations").get("kubernetes.io/change-cause")
    author = max(changes_of(deployment), key=lambda one: one.at, default=None)
    yield Change(
        object=ref_of(deployment),
        at=_micros(at),
        by=author.by if author else "",
        what=f"revision {revision(after)}: {what}" + (f" ({note})" if note else ""),
    )


def _paths(fields: Body) -> Iterator[str]:
    for section in _SECTIONS:
        if section in fields:
            yield from _leaves(fields[section], section.removeprefix("f:"))


def _leaves(fields: Body, path: str) -> Iterator[str]:
    inner = {name: value for name, value in fields.items() if name != "."}
    if not inner:
        yield path
    for name, value in inner.items():
        step = name.removeprefix("f:") if name.startswith("f:") else _item(name)
        below = f"{path}.{step}" if name.startswith("f:") else f"{path}[{step}]"
        if isinstance(value, dict):
            yield from _leaves(value, below)


def _item(name: str) -> str:
    """Shorten the key of a list's item: `k:{"name":"main"}` is `main`."""
    return name.partition(":")[2].strip("{}").rpartition(":")[2].strip('"')


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
