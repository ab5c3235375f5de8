"""Containers that cannot be made or started: what they name is not there, or the node refuses."""

import re
from collections.abc import Iterator
from dataclasses import replace

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.quoting import event_said, not_there, said
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.resemblance import nearest
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import condition, part
from stellwerk.release.objects import Body
from stellwerk.release.reasons.missing import missing
from stellwerk.release.reasons.pods import UNMOUNTED

_CONFIGURED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_KINDS = {
    "MissingConfigMap": "ConfigMap",
    "MissingSecret": "Secret",
    "MissingClaim": "PersistentVolumeClaim",
    "MissingServiceAccount": "ServiceAccount",
    "MissingStorageClass": "StorageClass",
    "MissingPriorityClass": "PriorityClass",
}
_QUOTED = re.compile(
    r"(?:configmaps?|secrets?|persistentvolumeclaims?|serviceaccounts?"
    r"|storageclass\S*) \"(?:[^\"/]*/)?([^\"]+)\"",
    re.IGNORECASE,
)
_PRIORITY = re.compile(r"no PriorityClass with name (\S+)")
_KEY = re.compile(
    r"couldn't find key (?P<key>\S+) in (?P<kind>ConfigMap|Secret) (?:[^/\s]*/)?(?P<name>\S+)"
    r"|references non-existent (?P<kind2>config|secret) key: (?P<key2>\S+)"
)
_VOLUME = re.compile(r"MountVolume.SetUp failed for volume \"([^\"]+)\"")
_SECURITY = re.compile(
    r"runAsNonRoot|run as root|non-numeric user|capabilit|seccomp|apparmor|read-only", re.IGNORECASE
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find pods whose containers cannot be made."""
    for pod in facts.of("Pod"):
        if condition(pod, "Ready").holds:
            continue
        for status, _ in statuses(pod):
            yield from _of_container(facts, pod, status)
        yield from _of_volumes(facts, pod)


def lacking(facts: Facts, message: str, shown_at: Body) -> Clue | None:
    """Tell what is not there by a message of the cluster; None if it names nothing."""
    code = missing(message)
    if code == "MissingKey":
        return _key(facts, message, shown_at)
    if code is None:
        return None
    found = _PRIORITY.search(message) if code == "MissingPriorityClass" else _QUOTED.search(message)
    if found is None:
        return None
    kind = _KINDS[code]
    namespace = "" if kind in {"StorageClass", "PriorityClass"} else ref_of(shown_at).namespace
    ref = named(kind, namespace, found[1].rstrip(",.:"))
    near = nearest(
        ref.name, [ref_of(one).name for one in facts.of(kind) if ref_of(one).namespace == namespace]
    )
    return Clue(
        code,
        ref_of(shown_at),
        f"{ref} is not there, and {facts.unit(ref_of(shown_at))} needs it",
        (not_there(ref, near),),
        blames=(ref,),
        facts={"missing": ref.name, "kind": kind} | ({"near": near} if near else {}),
        strength=0.95,
    )


def with_seen(clue: Clue, *seen: Seen) -> Clue:
    """Put what was seen before the clue's own evidence."""
    return replace(clue, seen=(*seen, *clue.seen))


def _of_container(facts: Facts, pod: Body, status: Body) -> Iterator[Clue]:
    waiting = part(status, "state", "waiting")
    ended = part(status, "state", "terminated") or part(status, "lastState", "terminated")
    name = str(status.get("name"))
    if waiting.get("reason") in _CONFIGURED:
        message = str(waiting.get("message", ""))
        quoted = said(pod, f"container {name}: {waiting.get('reason')}: {message}")
        if clue := lacking(facts, message, pod):
            yield with_seen(clue, quoted)
        elif waiting.get("reason") == "CreateContainerConfigError" and _SECURITY.search(message):
            yield Clue(
                "SecurityContextDenied",
                ref_of(pod),
                f"container {name} may not run as it is: {message}",
                (quoted,),
                facts={"container": name},
            )
        else:
            yield Clue(
                "StartFailed",
                ref_of(pod),
                f"container {name} cannot be started: {message}",
                (quoted,),
                facts={"container": name},
                strength=0.95,
            )
    elif ended.get("reason") in {"StartError", "ContainerCannotRun"}:
        message = str(ended.get("message", ""))
        quoted = said(pod, f"container {name} could not be started: {message}", ended.get("finishedAt"))
        yield Clue(
            "StartFailed",
            ref_of(pod),
            f"container {name} cannot be started: {message}",
            (quoted,),
            facts={"container": name},
            strength=0.95,
        )


def _of_volumes(facts: Facts, pod: Body) -> Iterator[Clue]:
    waits = [part(status, "state", "waiting").get("reason") for status, _ in statuses(pod)]
    if waits and not {"ContainerCreating", "PodInitializing"} & set(waits):
        return
    failed = [
        one
        for one in facts.events(pod)
        if one.get("reason") in UNMOUNTED and "failed to sync" not in one.get("message", "")
    ]
    told = [one for one in failed if missing(str(one.get("message", "")))]
    if not failed:
        yield from _unheard(facts, pod)
        return
    last = (told or [one for one in failed if _VOLUME.search(str(one.get("message", "")))] or failed)[-1]
    message = str(last.get("message", ""))
    if clue := lacking(facts, message, pod):
        yield with_seen(clue, event_said(last, pod))
        return
    volume = _VOLUME.search(message)
    source: Body = next(
        (one for one in part(pod, "spec").get("volumes") or [] if volume and one.get("name") == volume[1]), {}
    )
    if name := part(source, "persistentVolumeClaim").get("claimName"):
        claim = named("PersistentVolumeClaim", ref_of(pod).namespace, str(name))
        yield Clue(
            "VolumeNotMounted",
            ref_of(pod),
            f"the volume of {claim} cannot be mounted",
            (event_said(last, pod),),
            role="effect",
            points_to=(claim,),
        )
        return
    code = "SandboxFailed" if last.get("reason") == "FailedCreatePodSandBox" else "VolumeNotMounted"
    yield Clue(
        code,
        ref_of(pod),
        f"the pod cannot be set up: {message}",
        (event_said(last, pod),),
        facts={"volume": volume[1] if volume else ""},
    )


def _unheard(facts: Facts, pod: Body) -> Iterator[Clue]:
    """Look for what volumes name where no event tells: a node that has much to tell drops some."""
    namespace = ref_of(pod).namespace
    for volume in part(pod, "spec").get("volumes") or []:
        for field, kind, label in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            source = part(volume, field)
            ref = named(kind, namespace, str(source.get(label)))
            if source and not source.get("optional") and facts.absent(ref):
                summary = f"{ref} is not there, and {facts.unit(ref_of(pod))} is to mount it"
                seen = (said(pod, f"volume {volume.get('name')}: {kind} {ref.name}"), not_there(ref))
                about = {"missing": ref.name, "kind": kind}
                yield Clue(f"Missing{kind}", ref_of(pod), summary, seen, blames=(ref,), facts=about)


def _key(facts: Facts, message: str, pod: Body) -> Clue | None:
    found = _KEY.search(message)
    if found is None:
        return None
    key = found["key"] or found["key2"]
    holder = _holder(facts, pod, key, found)
    if holder is None:
        return None
    body = facts.get(holder)
    keys = sorted(part(body or {}, "data"))
    near = nearest(key, keys)
    return Clue(
        "MissingKey",
        ref_of(pod),
        f"{holder} has no key {key}; it has {', '.join(keys) or 'none'}",
        (not_there(holder._replace(name=f"{holder.name}[{key}]"), f"key {near}" if near else None),),
        blames=(holder,),
        facts={"key": key, "missing": key, "kind": holder.kind, "name": holder.name},
        strength=0.9,
    )


def _holder(facts: Facts, pod: Body, key: str, found: re.Match[str]) -> ObjectRef | None:
    namespace = ref_of(pod).namespace
    if found["name"]:
        return named(found["kind"], namespace, found["name"])
    kind, field, label = (
        ("ConfigMap", "configMap", "name")
        if found["kind2"] == "config"
        else ("Secret", "secret", "secretName")
    )
    for volume in part(pod, "spec").get("volumes") or []:
        source = part(volume, field)
        if any(item.get("key") == key for item in source.get("items") or []):
            return named(kind, namespace, str(source.get(label)))
    return None
