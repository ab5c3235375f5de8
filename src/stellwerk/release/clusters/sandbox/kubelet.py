"""What becomes of a pod: a rule over its age, over what it needs, and over how it is wanted to fail.

A pod is given a node, starts, and after a moment is ready, or shows for the first time why not. After the
same time once more it shows it for the second time, which is when chance is no explanation any longer. What
it waits for is looked at afresh each time, so it starts as soon as that comes.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stellwerk.release.clusters.sandbox import failing
from stellwerk.release.clusters.sandbox.needs import missing_settings, missing_volume
from stellwerk.release.clusters.sandbox.scheduler import place
from stellwerk.release.clusters.sandbox.statuses import is_over, is_ready, said, since
from stellwerk.release.clusters.sandbox.storage import written
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import entries, part, status_of
from stellwerk.release.objects import Body

FIRST, SECOND = 1, 2
"""How often a container has been tried."""


class _Outcome(NamedTuple):
    """How a container is."""

    state: dict[str, Any]
    ready: bool = False
    restarts: int = 0
    last: dict[str, Any] | None = None
    """How its run before ended."""


def control(world: World, pod: Body) -> None:
    """Give a pod its node, and set its status."""
    if is_over(pod) or (is_ready(pod) and not failing.asked_for(pod)):
        return  # what runs goes on, whatever becomes of what it needed to start
    if not part(pod, "spec").get("nodeName"):
        node, why = place(world, pod)
        if not node:
            world.tell(pod, "FailedScheduling", why, warns=True)
            waits = since(pod, [said("PodScheduled", False, "Unschedulable", why)], world.now)
            world.report(pod, {"phase": "Pending", "conditions": waits}, observed=False)
            return
        metadata = pod["metadata"]
        where = f"{metadata['namespace']}/{metadata['name']} to {node}"
        world.tell(pod, "Scheduled", f"Successfully assigned {where}")
        pod = world.change(pod | {"spec": pod["spec"] | {"nodeName": node}})
    world.report(pod, _status(world, pod), observed=False)


def _status(world: World, pod: Body) -> dict[str, Any]:
    containers = entries(part(pod, "spec"), "containers")
    outcomes = [_outcome(world, pod, one) for one in containers]
    ready = all(one.ready for one in outcomes)
    names = [one.get("name") for one, outcome in zip(containers, outcomes, strict=True) if not outcome.ready]
    why = ("", "") if ready else ("ContainersNotReady", f"containers with unready status: {names}")
    conditions = [
        said("Initialized"),
        said("Ready", ready, *why),
        said("ContainersReady", ready, *why),
        said("PodScheduled"),
    ]
    known = status_of(pod)
    return {
        "phase": _phase(pod, outcomes),
        "conditions": since(pod, conditions, world.now),
        "containerStatuses": [_shown(*each) for each in zip(containers, outcomes, strict=True)],
        "initContainerStatuses": [
            _shown(one, _Outcome({"terminated": {"exitCode": 0, "reason": "Completed"}}, ready=True))
            for one in entries(part(pod, "spec"), "initContainers")
        ],
        "hostIP": "192.0.2.2",
        "podIP": _address(pod),
        "startTime": known.get("startTime") or written(world.now),
        "qosClass": "BestEffort",
    }


def _outcome(world: World, pod: Body, container: Mapping[str, Any]) -> _Outcome:
    name, tried = str(container.get("name", "")), _tries(world, pod)
    if failing.is_no_image(container):
        text = f'Failed to apply default image tag "{container.get("image")}": invalid reference format'
        world.tell(pod, "InspectFailed", text, warns=True, container=name)
        return _waiting("InvalidImageName", text)
    volume, lack = missing_volume(world.table, pod)
    if lack:
        world.tell(pod, "FailedMount", f'MountVolume.SetUp failed for volume "{volume}" : {lack}', warns=True)
        return _waiting("ContainerCreating")
    if tried < FIRST:
        return _waiting("ContainerCreating")
    if why := failing.why_not_pulled(pod, container):
        return _not_pulled(world, pod, container, why, tried)
    if lack := missing_settings(world.table, pod, container):
        world.tell(pod, "Failed", f"Error: {lack}", warns=True, container=name)
        return _waiting("CreateContainerConfigError", lack)
    world.tell(pod, "Started", f"Started container {name}", container=name)
    return _run(world, pod, name, tried)


def _tries(world: World, pod: Body) -> int:
    """Return how often containers were tried by now; ask for another look while that still grows."""
    age_s, step_s = world.age_s(pod), max(world.start_s, 0.001)
    tried = min(int(age_s / step_s), SECOND)
    if tried < FIRST or (tried < SECOND and not _is_ready(pod)):
        world.again((tried + 1) * step_s - age_s)
    return tried


def _run(world: World, pod: Body, name: str, tried: int) -> _Outcome:
    wanted, at = failing.asked_for(pod), _begun_at(world, pod)
    if wanted in {"crash", "oom"}:
        return _crashed(world, pod, name, FIRST if _runs_once(pod) else tried, at)
    if wanted == "probe":
        world.tell(
            pod, "Unhealthy", "Readiness probe failed: it is wanted to fail", warns=True, container=name
        )
        return _Outcome({"running": {"startedAt": at}})
    if _runs_once(pod):
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}
        return _Outcome({"terminated": ended})
    return _Outcome({"running": {"startedAt": at}}, ready=True)


def _crashed(world: World, pod: Body, name: str, tried: int, at: str) -> _Outcome:
    reason = "OOMKilled" if failing.asked_for(pod) == "oom" else "Error"
    ended = {"exitCode": failing.exit_code(pod), "reason": reason, "startedAt": at, "finishedAt": at}
    if tried < SECOND:
        return _Outcome({"terminated": ended})
    text = "Back-off restarting failed container"
    world.tell(pod, "BackOff", text, warns=True, container=name)
    waiting = {"reason": "CrashLoopBackOff", "message": f"{text} {name}"}
    return _Outcome({"waiting": waiting}, restarts=1, last={"terminated": ended})


def _not_pulled(world: World, pod: Body, container: Mapping[str, Any], why: str, tried: int) -> _Outcome:
    image, name = container.get("image"), str(container.get("name", ""))
    text = f'Failed to pull image "{image}": {why}'
    world.tell(pod, "Failed", text, warns=True, container=name, times=tried)
    if tried < SECOND:
        return _waiting("ErrImagePull", why)
    back_off = f'Back-off pulling image "{image}"'
    world.tell(pod, "BackOff", back_off, container=name)
    return _waiting("ImagePullBackOff", back_off)


def _waiting(reason: str, message: str = "") -> _Outcome:
    return _Outcome({"waiting": {"reason": reason} | ({"message": message} if message else {})})


def _phase(pod: Body, outcomes: Sequence[_Outcome]) -> str:
    if _runs_once(pod) and all("terminated" in one.state for one in outcomes):
        well = all(one.state["terminated"]["exitCode"] == 0 for one in outcomes)
        return "Succeeded" if well else "Failed"
    return "Pending" if all("waiting" in one.state and one.last is None for one in outcomes) else "Running"


def _shown(container: Mapping[str, Any], outcome: _Outcome) -> dict[str, Any]:
    return {
        "name": container.get("name"),
        "image": container.get("image"),
        "ready": outcome.ready,
        "started": "running" in outcome.state,
        "restartCount": outcome.restarts,
        "state": outcome.state,
        "lastState": outcome.last or {},
    }


def _begun_at(world: World, pod: Body) -> str:
    """Return when the containers began, as they said it before."""
    for one in entries(status_of(pod), "containerStatuses"):
        for run in ("state", "lastState"):
            for how in ("running", "terminated"):
                if at := part(one, run, how).get("startedAt"):
                    return str(at)
    return written(world.now)


def _runs_once(pod: Body) -> bool:
    return part(pod, "spec").get("restartPolicy") in {"Never", "OnFailure"}


def _is_ready(pod: Body) -> bool:
    return all(one.get("ready") for one in entries(status_of(pod), "containerStatuses"))


def _address(pod: Body) -> str:
    number = zlib.crc32(pod["metadata"]["uid"].encode()) % 65_534 + 1
    return f"10.244.{number // 256}.{number % 256}"
