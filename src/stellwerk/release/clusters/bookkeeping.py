"""Whether two states of an object differ in more than their bookkeeping."""

from typing import Any

from stellwerk.release.objects import Body

BOOKKEEPING = frozenset(
    {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"}
)
"""Parts of `metadata` that a dry run makes up, or that every write changes."""


def differs(before: Body, after: Body) -> bool:
    """Whether something that somebody may have set is not the same."""
    return _meant(before) != _meant(after)


def changed_by(before: Body | None, after: Body, *, dry_run: bool) -> bool:
    """Whether an apply changed an object; `before` None means that nobody knows what was there."""
    if before is None:
        return True
    if dry_run:
        return differs(before, after)
    return _version(before) != _version(after)


def _version(body: Body) -> tuple[Any, Any]:
    metadata = body["metadata"]
    return metadata.get("uid"), metadata.get("resourceVersion")


def _meant(body: Body) -> Body:
    metadata = {name: value for name, value in body.get("metadata", {}).items() if name not in BOOKKEEPING}
    return {**body, "metadata": metadata}
