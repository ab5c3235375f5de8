"""Why an object does not get well: what its controller says, and what its pods say.

A controller's words come first where it could not even make pods. Where it only says that it takes
too long, the pods know why, and then that reason is certain.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from stellwerk.release.conditions import condition, instant, part, status_of
from stellwerk.release.objects import Body, key_of
from stellwerk.release.reasons.missing import missing
from stellwerk.release.reasons.pods import last_seen, reason_of_pod
from stellwerk.release.reasons.reason import Reason, overdue

_HOPELESS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("QuotaExceeded", re.compile(r"exceeded quota|failed quota|insufficient quota")),
    ("WebhookRefused", re.compile(r"admission webhook .* denied")),
    ("AdmissionRefused", re.compile(r"violates PodSecurity|PodSecurityPolicy|(max|min)imum \S+ usage")),
    ("Invalid", re.compile(r"is invalid:|Invalid value")),
    ("Forbidden", re.compile(r"cannot create resource|is forbidden: User ")),
)


def reason_of(workload: Body, pods: Sequence[Body], events: Sequence[Body], now: datetime) -> Reason | None:
    """Return why an object does not get well; None if nothing stands in its way.

    `pods`: those of its newest revision (`kinship.pods_of`); `events`: about it, what it made, and these
    pods.
    """
    if workload.get("kind") == "Pod":
        return reason_of_pod(workload, _about(workload, events), now)
    own = [reason for reason in _own(workload, events, now) if reason is not None]
    of_pods = [reason_of_pod(pod, _about(pod, events), now) for pod in pods]
    found = [*own, *(reason for reason in of_pods if reason is not None)]
    if gave_up := _gave_up(workload):
        first = max(found, key=lambda reason: reason.certain, default=None)
        return replace(first, certain=True) if first else gave_up
    return max(found, key=lambda reason: reason.certain, default=None)


def _own(workload: Body, events: Sequence[Body], now: datetime) -> Iterator[Reason | None]:
    failure = condition(workload, "ReplicaFailure")
    if failure.holds:
        yield _uncreated(workload, failure.message, failure.since, now)
    elif _wants_more(workload):
        failed = [one for one in events if one.get("reason") in {"FailedCreate", "FailedUpdate"}]
        if failed:
            last = max(failed, key=last_seen)
            since = instant(last.get("firstTimestamp") or part(last, "metadata").get("creationTimestamp"))
            yield _uncreated(workload, str(last.get("message", "")), since, now)
    if workload.get("kind") == "PersistentVolumeClaim":
        yield _unbound(workload, events, now)
    if workload.get("kind") == "CustomResourceDefinition":
        accepted = condition(workload, "NamesAccepted")
        if accepted.fails:
            yield Reason(accepted.reason or "NamesNotAccepted", accepted.message, True, key_of(workload))


def _uncreated(workload: Body, message: str, since: datetime | None, now: datetime) -> Reason:
    """Say why a controller cannot make pods."""
    code = next((code for code, pattern in _HOPELESS if pattern.search(message)), None)
    if code is not None:
        return Reason(code, message, True, key_of(workload))
    absent = missing(message)
    certain = absent is not None and overdue(since, now)
    return Reason(absent or "FailedCreate", message, certain, key_of(workload))


def _wants_more(workload: Body) -> bool:
    """Whether a controller that reports no condition has fewer pods than it should."""
    status = status_of(workload)
    match workload.get("kind"):
        case "StatefulSet" | "ReplicaSet" | "ReplicationController":
            return int(status.get("replicas") or 0) < int(part(workload, "spec").get("replicas", 1))
        case "DaemonSet":
            return int(status.get("currentNumberScheduled") or 0) < int(
                status.get("desiredNumberScheduled") or 0
            )
        case "Job":
            return not status.get("active") and not status.get("succeeded")
        case _:
            return False


def _unbound(claim: Body, events: Sequence[Body], now: datetime) -> Reason | None:
    if status_of(claim).get("phase") == "Lost":
        return Reason("ClaimLost", "its volume does not exist any more", True, key_of(claim))
    failed = [one for one in events if one.get("reason") in {"ProvisioningFailed", "FailedBinding"}]
    if status_of(claim).get("phase") != "Pending" or not failed:
        return None
    message = str(max(failed, key=last_seen).get("message", ""))
    absent = missing(message)
    since = instant(part(claim, "metadata").get("creationTimestamp"))
    return Reason(absent or "Unbound", message, absent is not None and overdue(since, now), key_of(claim))


def _gave_up(workload: Body) -> Reason | None:
    """Return what a controller says that does not try any longer."""
    match workload.get("kind"):
        case "Deployment":
            said = condition(workload, "Progressing")
            over = said.fails
        case "Job":
            said = condition(workload, "Failed")
            over = said.holds
        case _:
            return None
    return Reason(said.reason or "Failed", said.message, True, key_of(workload)) if over else None


def _about(body: Body, events: Sequence[Body]) -> list[Body]:
    """Choose the events of this very object, not of an earlier one of its name."""
    uid, name = part(body, "metadata").get("uid"), part(body, "metadata").get("name")
    chosen = []
    for event in events:
        target = part(event, "involvedObject")
        if target.get("uid") == uid if target.get("uid") else target.get("name") == name:
            chosen.append(event)
    return chosen
