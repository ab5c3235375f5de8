"""Who owns an object: up the chain of controllers, as far as it was seen."""

from collections.abc import Sequence
from typing import Any

from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.model import Bundle, ObjectRef

DEPTH = 10
"""Longer chains do not occur; a circle must end."""


def owner_chain(bundle: Bundle) -> tuple[ObjectRef, ...]:
    """List the target's controllers, nearest first, as far as the bundle has them."""
    known = {ref_of(body): body for body in bundle.objects}
    at = known.get(named(*bundle.target.object[:3]))
    chain: list[ObjectRef] = []
    while at is not None and len(chain) < DEPTH:
        owner = _controller(at)
        if owner is None:
            break
        chain.append(owner)
        at = known.get(named(*owner[:3]))
    return tuple(chain)


def root_owner(bundle: Bundle) -> ObjectRef:
    """Return the end of the owner chain; the target itself if nothing owns it."""
    return (owner_chain(bundle) or (bundle.target.object,))[-1]


def _controller(body: dict[str, Any]) -> ObjectRef | None:
    metadata = body.get("metadata") or {}
    owners: Sequence[dict[str, Any]] = metadata.get("ownerReferences") or ()
    for one in owners:
        if one.get("controller"):
            return ObjectRef(
                one.get("kind", ""),
                metadata.get("namespace") or "",
                one.get("name", ""),
                one.get("apiVersion", ""),
            )
    return None
