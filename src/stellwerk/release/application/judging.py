"""How a cluster is judged by what an application asks of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from stellwerk.release.application.requirements import Check, Requirement
from stellwerk.release.quantities import quantity


class Verdict(StrEnum):
    """How a cluster meets a requirement."""

    MET = "pass"
    WARNING = "warning"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a cluster has; None where it could not be read."""

    version: str | None = None
    """Such as `v1.31.2`."""
    ready_nodes: int | None = None
    cpu: Decimal | None = None
    """Cores that nodes give to pods, together."""
    memory: Decimal | None = None
    """Bytes, likewise."""
    storage_classes: Mapping[str, bool] | None = None
    """Names, and whether it is the default one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A requirement and how it is met."""

    requirement: Requirement
    verdict: Verdict
    message: str


def judge(requirement: Requirement, facts: Facts) -> Judged:
    """Compare a cluster with a requirement."""
    config = requirement.config or {}
    try:
        match requirement.check:
            case Check.VERSION:
                return _version(requirement, str(config.get("minimumVersion", "1.24")), facts.version)
            case Check.NODES:
                return _nodes(requirement, int(config.get("minimum", 1)), facts.ready_nodes)
            case Check.STORAGE:
                return _storage(requirement, str(config.get("name") or ""), facts.storage_classes)
            case Check.CPU:
                return _amount(requirement, str(config.get("minimum", "2")), facts.cpu, "CPUs")
            case Check.MEMORY:
                return _amount(requirement, str(config.get("minimum", "4Gi")), facts.memory, "of memory")
            case unknown:
                return Judged(requirement, Verdict.WARNING, f"Unknown check type: {unknown}")
    except (ValueError, TypeError) as error:
        return Judged(requirement, _short(requirement), f"The requirement itself cannot be read: {error}")


def overall(judged: Sequence[Judged]) -> Verdict:
    """Sum up: failed if something required did, else warned if anything did not pass."""
    if any(one.verdict is Verdict.FAIL and one.requirement.required for one in judged):
        return Verdict.FAIL
    if any(one.verdict is Verdict.WARNING for one in judged):
        return Verdict.WARNING
    return Verdict.MET


def _short(requirement: Requirement) -> Verdict:
    return Verdict.FAIL if requirement.required else Verdict.WARNING


def _version(requirement: Requirement, minimum: str, version: str | None) -> Judged:
    if version is None:
        return Judged(requirement, Verdict.FAIL, "The cluster's version could not be read")
    enough = _numbers(version) >= _numbers(minimum)
    verdict = Verdict.MET if enough else Verdict.FAIL
    return Judged(requirement, verdict, f"Kubernetes {version}, at least {minimum} is asked for")


def _numbers(version: str) -> tuple[int, int]:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if not found:
        raise ValueError(f"{version!r} is no version such as 1.24")
    return int(found[1]), int(found[2])


def _nodes(requirement: Requirement, minimum: int, ready: int | None) -> Judged:
    if ready is None:
        return Judged(requirement, _short(requirement), "The cluster's nodes could not be read")
    verdict = Verdict.MET if ready >= minimum else Verdict.FAIL
    return Judged(requirement, verdict, f"{ready} ready, at least {minimum} asked for")


def _storage(requirement: Requirement, name: str, classes: Mapping[str, bool] | None) -> Judged:
    if classes is None:
        return Judged(requirement, _short(requirement), "The cluster's storage classes could not be read")
    if name:
        verdict = Verdict.MET if name in classes else Verdict.FAIL
        return Judged(
            requirement, verdict, f"Storage class {name} is {'' if name in classes else 'not '}there"
        )
    if not classes:
        return Judged(requirement, Verdict.WARNING, "There is no storage class")
    default = next((one for one, is_default in sorted(classes.items()) if is_default), "none")
    return Judged(requirement, Verdict.MET, f"{len(classes)} there, the default is {default}")


def _amount(requirement: Requirement, minimum: str, found: Decimal | None, unit: str) -> Judged:
    least = quantity(minimum)
    if found is None:
        return Judged(requirement, _short(requirement), "The cluster's nodes could not be read")
    verdict = Verdict.MET if found >= least else _short(requirement)
    return Judged(requirement, verdict, f"{found:f} {unit}, at least {least:f} asked for")
