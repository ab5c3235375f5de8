"""What a workload wants its pods to be: the template, its containers, and what they are told."""

from collections.abc import Iterator
from typing import NamedTuple

from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body


class Setting(NamedTuple):
    """One thing that a container is told: a variable, an argument, a file."""

    where: str
    """For people: `env DATABASE_URL`, `args`, `file /etc/app.conf`."""
    name: str
    """Of the variable or file; empty for arguments."""
    text: str
    source: tuple[str, str] | None = None
    """Kind and name of the object that holds it; None where the workload says it itself."""
    read_at_start: bool = True
    """Whether a change is seen by new processes only."""


def template_of(workload: Body) -> Body:
    """Return the pod template of a workload; a bare pod is its own."""
    match workload.get("kind"):
        case "Pod":
            return workload
        case "CronJob":
            return part(workload, "spec", "jobTemplate", "spec", "template")
        case _:
            return part(workload, "spec", "template")


def pod_spec(workload: Body) -> Body:
    """Return the spec of a workload's pods."""
    return part(template_of(workload), "spec")


def labels_of(workload: Body) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    return part(template_of(workload), "metadata", "labels")


def containers(workload: Body, *, init: bool = True) -> list[Body]:
    """List the containers, those that run first before the others."""
    spec = pod_spec(workload)
    return [*(entries(spec, "initContainers") if init else ()), *entries(spec, "containers")]


def container_named(workload: Body, name: str) -> Body:
    """Return one container; empty if there is none of this name."""
    return next((one for one in containers(workload) if one.get("name") == name), {})


def own_settings(container: Body) -> Iterator[Setting]:
    """List what a container's own text tells it."""
    for one in entries(container, "env"):
        if one.get("value"):
            yield Setting(f"env {one.get('name')}", str(one.get("name")), str(one["value"]))
    for field in ("command", "args"):
        words = container.get(field) or []
        if words:
            yield Setting(field, "", " ".join(str(word) for word in words))


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether labels have everything that a selector wants."""
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def selects_by(selector: Body, labels: dict[str, str]) -> bool:
    """Whether labels match a `LabelSelector`; an empty one matches all."""
    wanted = part(selector, "matchLabels")
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    return all(_matches(one, labels) for one in entries(selector, "matchExpressions"))


def _matches(expression: Body, labels: dict[str, str]) -> bool:
    value = labels.get(str(expression.get("key")))
    match expression.get("operator"):
        case "In":
            return value in (expression.get("values") or [])
        case "NotIn":
            return value not in (expression.get("values") or [])
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
