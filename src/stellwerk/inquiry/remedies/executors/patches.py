"""Bounded patches: each changes one thing that it names, and nothing else. Pure rules over live objects.

A patch is a merge patch (RFC 7396), in which lists stand whole; it carries the version that was read, so the
cluster refuses it where somebody else was quicker. Values come from checked parameters only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stellwerk.inquiry.remedies.remedy import CannotRemedy
from stellwerk.release.conditions import part
from stellwerk.release.kinship import REVISION
from stellwerk.release.objects import Body
from stellwerk.release.quantities import quantity

RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""As kubectl writes it, so that both count as one."""
_HASH = "pod-template-hash"
_MI = Decimal(1024 * 1024)


@dataclass(frozen=True, slots=True)
class Patch:
    """What changes, and in words."""

    body: Mapping[str, Any]
    said: str


Maker = Callable[[Body, Mapping[str, Any], Sequence[Body], str], Patch]
"""From an object, checked parameters, the ReplicaSets that it made, and an instant (RFC 3339). Raises
CannotRemedy."""


def restart(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Replace the pods one after the other."""
    return Patch(_template({"metadata": {"annotations": {RESTARTED: at}}}), "restart the pods")


def scale(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Set the number of replicas."""
    wanted, now = parameters["replicas"], part(body, "spec").get("replicas", 1)
    return Patch({"spec": {"replicas": wanted}}, f"replicas: {now} → {wanted}")


def resume(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Take back what pauses or suspends."""
    field = "paused" if body.get("kind") == "Deployment" else "suspend"
    return Patch({"spec": {field: False}}, f"{field}: {part(body, 'spec').get(field, False)} → False")


def uncordon(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Let a node take pods again."""
    return Patch({"spec": {"unschedulable": False}}, "unschedulable: True → False")


def undo(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Put the template of the earlier revision back."""
    earlier = earlier_of(made)
    if earlier is None:
        raise CannotRemedy("no_earlier_revision", "the cluster keeps no earlier revision of it")
    wanted = dict(part(earlier, "spec", "template"))
    metadata = dict(part(wanted, "metadata"))
    metadata["labels"] = {name: value for name, value in part(metadata, "labels").items() if name != _HASH}
    wanted["metadata"] = metadata
    patch = difference(part(body, "spec", "template"), wanted)
    return Patch({"spec": {"template": patch}}, f"pod template: back to revision {_revision(earlier)}")


def image(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Set the image of a container."""
    wanted = parameters["image"]

    def change(container: Body) -> Body:
        return {**container, "image": wanted}

    return _container(body, parameters["container"], change, f"image → {wanted}")


def environment(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Set a variable of a container."""
    name, value = parameters["name"], parameters["value"]

    def change(container: Body) -> Body:
        others = [one for one in container.get("env") or [] if one.get("name") != name]
        return {**container, "env": [*others, {"name": name, "value": value}]}

    return _container(body, parameters["container"], change, f"env {name} set")


def probe(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Set the port or the path of a container's probe."""
    field = f"{parameters['probe']}Probe"
    wanted = {name: parameters[name] for name in ("port", "path") if name in parameters}

    def change(container: Body) -> Body:
        known = container.get(field)
        handler = next((one for one in ("httpGet", "tcpSocket") if one in (known or {})), None)
        if known is None or handler is None or (handler == "tcpSocket" and "path" in wanted):
            raise CannotRemedy("no_such_probe", f"the container has no {field} that could be set so")
        return {**container, field: {**known, handler: {**known[handler], **wanted}}}

    said = ", ".join(f"{name} → {value}" for name, value in wanted.items())
    return _container(body, parameters["container"], change, f"{field} {said}")


def memory(body: Body, parameters: Mapping[str, Any], made: Sequence[Body], at: str) -> Patch:
    """Multiply the memory limit of a container, at most to the bound."""
    told: list[str] = []

    def change(container: Body) -> Body:
        now = part(container, "resources", "limits").get("memory")
        if now is None:
            raise CannotRemedy("no_limit", "the container has no memory limit")
        wanted = _raised(str(now), parameters)
        told.append(f"memory limit: {now} → {wanted}")
        limits = {**part(container, "resources", "limits"), "memory": wanted}
        return {**container, "resources": {**part(container, "resources"), "limits": limits}}

    patch = _container(body, parameters["container"], change, "")
    return Patch(patch.body, patch.said + told[0])


MAKERS: Mapping[str, Maker] = {
    "workload.restart": restart,
    "workload.scale": scale,
    "workload.undo": undo,
    "workload.resume": resume,
    "node.uncordon": uncordon,
    "patch.image": image,
    "patch.environment": environment,
    "patch.probe": probe,
    "patch.memory": memory,
}


def earlier_of(made: Sequence[Body]) -> Body | None:
    """Return the ReplicaSet of the revision before the newest; None if there is none."""
    ordered = sorted(made, key=_revision)
    return ordered[-2] if len(ordered) > 1 else None


def difference(before: Any, after: Any) -> Any:
    """Write the merge patch that makes `before` be `after`."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    gone = {name: None for name in before if name not in after}
    changed = {
        name: difference(before[name], value) if name in before else value
        for name, value in after.items()
        if name not in before or before[name] != value
    }
    return {**gone, **changed}


def _raised(now: str, parameters: Mapping[str, Any]) -> str:
    bound = quantity(parameters["at_most"])
    wanted = min(quantity(now) * Decimal(str(parameters["factor"])), bound)
    if wanted <= quantity(now):
        raise CannotRemedy(
            "at_the_bound", f"the memory limit is {now} already, and {parameters['at_most']} is the most"
        )
    return f"{-(-wanted // _MI)}Mi"


def _container(body: Body, name: str, change: Callable[[Body], Body], said: str) -> Patch:
    spec = part(body, "spec", "template", "spec")
    for field in ("containers", "initContainers"):
        containers = spec.get(field) or []
        if any(one.get("name") == name for one in containers):
            changed = [change(one) if one.get("name") == name else one for one in containers]
            return Patch(_template({"spec": {field: changed}}), f"container {name}: {said}")
    raise CannotRemedy("no_such_container", f"there is no container {name}")


def _template(patch: Mapping[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": patch}}


def _revision(replica_set: Body) -> int:
    text = str(part(replica_set, "metadata", "annotations").get(REVISION, "0"))
    return int(text) if text.isdigit() else 0
