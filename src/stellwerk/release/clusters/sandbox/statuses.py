"""Conditions as controllers write them, and what is common to pods."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from stellwerk.release.clusters.sandbox.storage import written
from stellwerk.release.conditions import entries, status_of
from stellwerk.release.objects import Body


def said(name: str, holds: bool = True, reason: str = "", message: str = "") -> dict[str, Any]:
    """Return one condition."""
    found: dict[str, Any] = {"type": name, "status": "True" if holds else "False"}
    return found | {key: text for key, text in (("reason", reason), ("message", message)) if text}


def since(body: Body, conditions: Iterable[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Return conditions with the time since which each is as it is."""
    known = {one.get("type"): one for one in entries(status_of(body), "conditions")}
    return [one | {"lastTransitionTime": _since(known.get(one["type"]), one, now)} for one in conditions]


def is_ready(pod: Body) -> bool:
    """Whether a pod is ready. Asked of every pod at every look: hence without `condition`."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def is_over(pod: Body) -> bool:
    """Whether a pod has ended."""
    return status_of(pod).get("phase") in {"Succeeded", "Failed"}


def going(pods: Sequence[Body]) -> list[Body]:
    """List the pods that have not ended and are not being deleted."""
    return [one for one in pods if not is_over(one) and not one["metadata"].get("deletionTimestamp")]


def _since(known: dict[str, Any] | None, one: dict[str, Any], now: datetime) -> str:
    if known is not None and known.get("status") == one["status"] and "lastTransitionTime" in known:
        return str(known["lastTransitionTime"])
    return written(now)
