"""What controllers and kubelet would have made of the objects by now: a pure rule over the whole table.

Pods fail where the annotation `sandbox.stellwerk.dev/fail` of their template asks for it (`image-pull`,
`crash`, `oom`, `probe`), and where a ConfigMap, Secret or claim that they need is not there.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from stellwerk.release.objects import Body, Key, key_of

FAIL = "sandbox.stellwerk.dev/fail"
EXIT_CODES = {"crash": 1, "oom": 137}
AGAIN_S = 0.05


@dataclass(slots=True)
class Step:
    """What the simulation changes."""

    bodies: list[Body] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
    again_in_s: float | None = None
    """When to look again although nothing changes; None if that is not needed."""


def simulate(objects: Mapping[Key, Body], now: datetime, start_s: float) -> Step:
    """Return what changes next; looked at again after every change, until nothing does."""
    step = Step()
    for key, body in objects.items():
        match (key.group, key.kind):
            case ("apps", "Deployment"):
                _deployment(objects, body, step)
            case ("apps", "ReplicaSet") | ("apps", "StatefulSet") | ("batch", "Job"):
                _pods(objects, key, body, step)
            case ("", "Pod"):
                _pod(objects, body, now, start_s, step)
            case ("apiextensions.k8s.io", "CustomResourceDefinition"):
                _set_status(
                    body, {"conditions": [_condition("Established"), _condition("NamesAccepted")]}, step
                )
            case ("", "PersistentVolumeClaim"):
                _set_status(body, {"phase": "Bound"}, step)
            case _:
                pass
    return step


def _deployment(objects: Mapping[Key, Body], body: Body, step: Step) -> None:
    own = list(_owned(objects, body, "ReplicaSet"))
    template = body["spec"]["template"]
    name = f"{body['metadata']['name']}-{_hash(template)}"
    wanted = int(body["spec"].get("replicas", 1))
    newest = next((one for one in own if one["metadata"]["name"] == name), None)
    revision = str(1 + max((_revision(one) for one in own), default=0))
    if newest is None:
        spec = {"replicas": wanted, "template": template, "selector": body["spec"].get("selector", {})}
        step.bodies.append(_child(body, "apps/v1", name, spec, revision=revision))
        _report(body, _progress(body, wanted, 0, 0, 0), step)
        return
    if newest["spec"]["replicas"] != wanted:
        step.bodies.append(newest | {"spec": newest["spec"] | {"replicas": wanted}})
    pods = list(_owned(objects, newest, "Pod"))
    ready = sum(map(_is_ready, pods))
    old = [one for one in own if one is not newest]
    if ready >= wanted:
        step.gone += [key_of(one) for one in old]
    old_pods = sum(len(list(_owned(objects, one, "Pod"))) for one in old)
    _report(body, _progress(body, wanted, len(pods), ready, old_pods), step)


def _progress(body: Body, wanted: int, updated: int, ready: int, old: int) -> dict[str, Any]:
    complete = ready >= wanted and not old
    reason = "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
    return {
        "replicas": updated + old,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "conditions": [
            _condition("Available", ready >= wanted),
            _condition("Progressing") | {"reason": reason},
        ],
    }


def _pods(objects: Mapping[Key, Body], key: Key, body: Body, step: Step) -> None:
    spec = body["spec"]
    job = key.kind == "Job"
    wanted = int(spec.get("completions" if job else "replicas", 1))
    own = sorted(_owned(objects, body, "Pod"), key=lambda one: str(one["metadata"]["name"]))
    names = [one["metadata"]["name"] for one in own]
    suffixes = (f"{key.name}-{number}" for number in range(wanted + len(own)))
    for name in [name for name in suffixes if name not in names][: max(0, wanted - len(own))]:
        step.bodies.append(_made_pod(body, name))
    step.gone += [key_of(one) for one in own[wanted:]]
    if job:
        done = sum(one.get("status", {}).get("phase") == "Succeeded" for one in own)
        failed = sum(one.get("status", {}).get("phase") == "Failed" for one in own)
        status: dict[str, Any] = {"active": len(own) - done - failed, "succeeded": done, "failed": failed}
        if done >= wanted:
            status["conditions"] = [_condition("Complete")]
        elif failed:
            reason = {
                "reason": "BackoffLimitExceeded",
                "message": "Job has reached the specified backoff limit",
            }
            status["conditions"] = [_condition("Failed") | reason]
        _set_status(body, status, step)
        return
    ready = sum(map(_is_ready, own))
    counts = {"replicas": len(own), "readyReplicas": ready, "availableReplicas": ready}
    revision = _hash(spec["template"])
    if key.kind == "StatefulSet":
        counts |= {"updatedReplicas": len(own)}
        _report(body, counts | {"currentRevision": revision, "updateRevision": revision}, step)
    else:
        _report(body, counts, step)


def _made_pod(owner: Body, name: str) -> Body:
    template = owner["spec"]["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    pod = _child(owner, "v1", name, template.get("spec") or {})
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    metadata = pod["metadata"] | {"annotations": annotations}
    metadata["labels"] = labels | {"controller-revision-hash": _hash(template)}
    return pod | {"metadata": metadata}


def _pod(objects: Mapping[Key, Body], body: Body, now: datetime, start_s: float, step: Step) -> None:
    status = body.get("status") or {}
    if status.get("settled"):
        return
    created = datetime.fromisoformat(status["startTime"]) if "startTime" in status else now
    if "startTime" not in status:
        first = {"phase": "Pending", "startTime": now.isoformat(), "conditions": [_condition("PodScheduled")]}
        _set_status(body, status | first, step)
        step.again_in_s = _soonest(step.again_in_s, start_s)
        return
    if now < created + timedelta(seconds=start_s):
        step.again_in_s = _soonest(step.again_in_s, start_s)
        return
    _set_status(body, status | _outcome(objects, body, now), step)


def _outcome(objects: Mapping[Key, Body], body: Body, now: datetime) -> dict[str, Any]:
    fail = (body["metadata"].get("annotations") or {}).get(FAIL)
    names = [one["name"] for one in body["spec"].get("containers") or ()]
    job = any(owner["kind"] == "Job" for owner in body["metadata"].get("ownerReferences") or ())
    if missing := _missing(objects, body):
        waiting = {"reason": "CreateContainerConfigError", "message": missing}
        return {"containerStatuses": [_container(name, {"waiting": waiting}) for name in names]}
    if fail == "image-pull":
        waiting = {"reason": "InvalidImageName", "message": "Failed to apply default image tag"}
        return {
            "settled": True,
            "containerStatuses": [_container(name, {"waiting": waiting}) for name in names],
        }
    if fail in EXIT_CODES:
        return _crashed(names, fail, job, now)
    if job:
        return {"phase": "Succeeded", "settled": True}
    if fail == "probe":
        running = [_container(name, {"running": {}}) for name in names]
        return {"phase": "Running", "settled": True, "containerStatuses": running}
    ready = [_container(name, {"running": {}}, ready=True) for name in names]
    conditions = [_condition("PodScheduled"), _condition("Ready")]
    return {"phase": "Running", "settled": True, "containerStatuses": ready, "conditions": conditions}


def _crashed(names: list[str], fail: str, job: bool, now: datetime) -> dict[str, Any]:
    ended = {
        "exitCode": EXIT_CODES[fail],
        "reason": "OOMKilled" if fail == "oom" else "Error",
        "startedAt": now.isoformat(),
    }
    if job:
        return {"phase": "Failed", "settled": True}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
    statuses = [
        _container(name, {"waiting": waiting}) | {"restartCount": 2, "lastState": {"terminated": ended}}
        for name in names
    ]
    return {"phase": "Running", "settled": True, "containerStatuses": statuses}


def _missing(objects: Mapping[Key, Body], body: Body) -> str:
    """Say what a pod needs and does not find; empty if nothing."""
    namespace = body["metadata"]["namespace"]
    for kind, name in _needs(body["spec"]):
        if Key(namespace, kind, name) not in objects:
            return f'{kind.lower()} "{name}" not found'
    return ""


def _needs(spec: Body) -> Iterator[tuple[str, str]]:
    for volume in spec.get("volumes") or ():
        if "configMap" in volume and not volume["configMap"].get("optional"):
            yield "ConfigMap", volume["configMap"].get("name", "")
        if "secret" in volume and not volume["secret"].get("optional"):
            yield "Secret", volume["secret"].get("secretName", "")
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"].get("claimName", "")
    for container in spec.get("containers") or ():
        for one in container.get("env") or ():
            source = one.get("valueFrom") or {}
            for place, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if place in source and not source[place].get("optional"):
                    yield kind, source[place].get("name", "")


def _owned(objects: Mapping[Key, Body], owner: Body, kind: str) -> Iterator[Body]:
    uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
    for key, body in objects.items():
        owners = body["metadata"].get("ownerReferences") or ()
        if (key.kind, key.namespace) == (kind, namespace) and any(one.get("uid") == uid for one in owners):
            yield body


def _child(owner: Body, api_version: str, name: str, spec: Body, *, revision: str = "") -> Body:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    if revision:
        metadata["annotations"] = {"deployment.kubernetes.io/revision": revision}
    kind = "Pod" if api_version == "v1" else "ReplicaSet"
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _report(body: Body, status: dict[str, Any], step: Step) -> None:
    _set_status(body, status | {"observedGeneration": body["metadata"]["generation"]}, step)


def _set_status(body: Body, status: dict[str, Any], step: Step) -> None:
    if body.get("status") != status:
        step.bodies.append(body | {"status": status})


def _container(name: str, state: dict[str, Any], *, ready: bool = False) -> dict[str, Any]:
    return {"name": name, "state": state, "ready": ready, "restartCount": 0}


def _condition(name: str, holds: bool = True) -> dict[str, Any]:
    return {"type": name, "status": "True" if holds else "False"}


def _is_ready(pod: Body) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _revision(body: Body) -> int:
    return int((body["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", 0))


def _hash(template: Body) -> str:
    return hashlib.sha256(msgspec.json.encode(template, order="sorted")).hexdigest()[:10]


def _soonest(known: float | None, other: float) -> float:
    return min(other, AGAIN_S) if known is None else min(known, other, AGAIN_S)
