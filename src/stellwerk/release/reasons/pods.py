"""Why a pod does not run: pure rules over what the kubelet and the scheduler say of it.

Kubernetes tries everything again for ever, so nothing in a status says *failed*. What counts as certain is
decided here: at once what no repetition mends (an image name that is none), at the second time what may
have been chance (a pull, a crash), after twenty seconds what may still come (a Secret, a node). Probes are
never certain: a program may need any time to get ready.
"""

import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from stellwerk.release.conditions import condition, entries, instant, part, status_of
from stellwerk.release.objects import Body, Key
from stellwerk.release.reasons.missing import missing
from stellwerk.release.reasons.reason import LogPlace, Reason, overdue

HOPELESS_IMAGES = frozenset({"InvalidImageName", "ErrImageNeverPull"})
FAILED_PULLS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
FAILED_STARTS = frozenset({"CrashLoopBackOff", "RunContainerError", "CreateContainerError"})
UNMOUNTED = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})
"""Those that say that the node is only late in reading a Secret (`failed to sync`) are left out."""
ENOUGH = 2
"""Pulls or crashes after which chance is no explanation."""


def reason_of_pod(pod: Body, events: Sequence[Body], now: datetime) -> Reason | None:
    """Return why a pod is not ready; None if it is, or nothing is known yet. `events`: its own."""
    found = reasons_of_pod(pod, events, now)
    return max(found, key=lambda reason: reason.certain, default=None)  # the first of the certain ones


def reasons_of_pod(pod: Body, events: Sequence[Body], now: datetime) -> list[Reason]:
    """List all that keeps a pod from being ready; empty if it is, or nothing is known yet."""
    if part(pod, "metadata").get("deletionTimestamp") or condition(pod, "Ready").holds:
        return []
    if status_of(pod).get("phase") == "Succeeded":
        return []
    return [reason for reason in _reasons(pod, events, now) if reason is not None]


def _reasons(pod: Body, events: Sequence[Body], now: datetime) -> Iterator[Reason | None]:
    yield _ended(pod)
    yield _unscheduled(pod, now)
    for one in (
        *entries(status_of(pod), "initContainerStatuses"),
        *entries(status_of(pod), "containerStatuses"),
    ):
        yield _image(pod, one, events, now)
        yield _configuration(pod, one, now)
        yield _crash(pod, one, events)
    yield _unmounted(pod, events, now)
    yield _unhealthy(pod, events)


def _ended(pod: Body) -> Reason | None:
    """A pod that the node gave up: evicted, or refused on arrival."""
    status = status_of(pod)
    if status.get("phase") != "Failed" or not status.get("reason"):
        return None
    return _reason(pod, str(status["reason"]), str(status.get("message", "")), certain=False)


def _unscheduled(pod: Body, now: datetime) -> Reason | None:
    scheduled = condition(pod, "PodScheduled")
    if not scheduled.fails or scheduled.reason != "Unschedulable":
        return None
    code = missing(scheduled.message) or "Unschedulable"
    return _reason(pod, code, scheduled.message, certain=overdue(scheduled.since, now))


def _image(pod: Body, container: Body, events: Sequence[Body], now: datetime) -> Reason | None:
    waiting = part(container, "state", "waiting")
    code, name = str(waiting.get("reason", "")), str(container.get("name", ""))
    message = str(waiting.get("message", ""))
    if code in HOPELESS_IMAGES:
        return _reason(pod, code, f"container {name}: {message}", certain=True)
    if code not in FAILED_PULLS:
        return None
    failed = [
        one
        for one in events
        if one.get("message", "").startswith("Failed to pull image") and _about(one, name)
    ]
    pulls = sum(times(one) for one in failed)
    if failed:
        message = str(max(failed, key=last_seen).get("message", ""))
    elif code == "ImagePullBackOff":  # events may not be ours to read; then only time tells
        pulls = 1 + overdue(condition(pod, "PodScheduled").since, now)
    if pulls >= ENOUGH:
        code = "ImagePullBackOff"
    text = message if name in message else f"container {name}: {message}"
    return _reason(pod, code, text, certain=pulls >= ENOUGH)


def _configuration(pod: Body, container: Body, now: datetime) -> Reason | None:
    waiting = part(container, "state", "waiting")
    if waiting.get("reason") != "CreateContainerConfigError":
        return None
    message = str(waiting.get("message", ""))
    since = instant(status_of(pod).get("startTime"))
    text = f"container {container.get('name')}: {message}"
    return _reason(pod, missing(message) or "CreateContainerConfigError", text, certain=overdue(since, now))


def _crash(pod: Body, container: Body, events: Sequence[Body]) -> Reason | None:
    state = part(container, "state")
    restarts = int(container.get("restartCount") or 0)
    ended = part(state, "terminated") or part(container, "lastState", "terminated")
    waiting = part(state, "waiting")
    failed_start = waiting.get("reason") in FAILED_STARTS
    if state.get("terminated") or failed_start:
        crashes = restarts + 1
    else:
        crashes = restarts if not container.get("ready") and ended else 0
    if not crashes or (ended.get("exitCode") == 0 and not _must_go_on(pod, container)):
        return None
    now_running = "running" in state
    code = _crash_code(ended, waiting, events, crashes)
    text = _crash_text(container, ended, waiting, crashes) + _probe_text(code, events)
    name = str(container.get("name", ""))
    metadata = part(pod, "metadata")
    log = LogPlace(
        metadata.get("namespace", ""),
        str(metadata.get("name", "")),
        name,
        previous=not state.get("terminated"),
    )
    certain = crashes >= ENOUGH and not now_running and not _retried_by_its_owner(pod)
    return _reason(pod, code, text, certain=certain, log=log if ended.get("startedAt") else None)


def _crash_code(ended: Body, waiting: Body, events: Sequence[Body], crashes: int) -> str:
    if ended.get("reason") == "OOMKilled":
        return "OOMKilled"
    if any(
        "failed liveness probe" in one.get("message", "") or "failed startup probe" in one.get("message", "")
        for one in events
    ):
        return "ProbeFailed"
    if waiting.get("reason") in FAILED_STARTS - {"CrashLoopBackOff"} or ended.get("reason") in {
        "StartError",
        "ContainerCannotRun",
    }:
        return "StartError"
    return "CrashLoopBackOff" if crashes >= ENOUGH else "Crashed"


def _crash_text(container: Body, ended: Body, waiting: Body, crashes: int) -> str:
    often = "once" if crashes == 1 else f"{crashes} times"
    text = f"container {container.get('name')} ended {often}"
    if "exitCode" in ended:
        text += f", exit code {ended['exitCode']}{_signal(int(ended['exitCode']))}"
    if ended.get("reason") == "OOMKilled":
        text += ", out of memory"
    said = str(ended.get("message") or (waiting.get("message") if not ended else "") or "").strip()
    return f"{text}: {said.splitlines()[-1]}" if said else text


def _signal(exit_code: int) -> str:
    """Name the signal that an exit code above 128 stands for."""
    try:
        return f" ({signal.Signals(exit_code - 128).name})" if exit_code > 128 else ""
    except ValueError:
        return ""


def _probe_text(code: str, events: Sequence[Body]) -> str:
    failed = [one for one in events if one.get("reason") == "Unhealthy"]
    if code != "ProbeFailed" or not failed:
        return ""
    return f"; {str(max(failed, key=last_seen).get('message', '')).strip()}"


def _unmounted(pod: Body, events: Sequence[Body], now: datetime) -> Reason | None:
    """A pod whose sandbox or volumes cannot be made; only events tell."""
    waits = [
        part(one, "state", "waiting").get("reason") for one in entries(status_of(pod), "containerStatuses")
    ]
    if not {"ContainerCreating", "PodInitializing"} & set(waits):
        return None
    failed = [
        one
        for one in events
        if one.get("reason") in UNMOUNTED and "failed to sync" not in one.get("message", "")
    ]
    named = [one for one in failed if missing(one.get("message", ""))]
    if not failed:
        return None
    last = max(named or failed, key=last_seen)
    message = str(last.get("message", ""))
    code = missing(message)
    since = instant(status_of(pod).get("startTime"))
    return _reason(
        pod, code or str(last["reason"]), message, certain=code is not None and overdue(since, now)
    )


def _unhealthy(pod: Body, events: Sequence[Body]) -> Reason | None:
    running = [one for one in entries(status_of(pod), "containerStatuses") if "running" in part(one, "state")]
    failed = [one for one in events if one.get("reason") == "Unhealthy"]
    if not running or not failed or all(one.get("ready") for one in running):
        return None
    last = max(failed, key=last_seen)
    return _reason(pod, "ProbeFailed", str(last.get("message", "")).strip(), certain=False)


def _must_go_on(pod: Body, container: Body) -> bool:
    """Whether a container that ended well should not have ended."""
    first = {one.get("name") for one in entries(status_of(pod), "initContainerStatuses")}
    return container.get("name") not in first and part(pod, "spec").get("restartPolicy", "Always") == "Always"


def _retried_by_its_owner(pod: Body) -> bool:
    """Whether a Job decides how often is enough."""
    return any(owner.get("kind") == "Job" for owner in entries(part(pod, "metadata"), "ownerReferences"))


def _about(event: Body, container: str) -> bool:
    """Whether an event is about this container; those of other sources name none."""
    field = part(event, "involvedObject").get("fieldPath", "")
    return not field or field.endswith(f"{{{container}}}")


def times(event: Body) -> int:
    """Return how often an event happened."""
    return int(part(event, "series").get("count") or event.get("count") or 1)


def last_seen(event: Body) -> str:
    """Return when an event happened last, as text that can be compared."""
    seen = (
        part(event, "series").get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    )
    return str(seen or part(event, "metadata").get("creationTimestamp") or "")


def _reason(pod: Body, code: str, message: str, *, certain: bool, log: LogPlace | None = None) -> Reason:
    metadata: dict[str, Any] = part(pod, "metadata")
    key = Key(metadata.get("namespace", ""), "Pod", str(metadata.get("name", "")))
    return Reason(code, message, certain, key, log)
