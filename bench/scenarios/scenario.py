"""One scenario: a folder with manifests, the signal, and what an investigation should say."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "faults"
MANIFEST_LIMIT_S = 90.0


@dataclass(frozen=True)
class Step:
    """Something that is done to the cluster, and what is waited for."""

    apply: str = ""
    delete: tuple[str, ...] = ()
    until: tuple[dict[str, str], ...] = ()
    settle_s: float = 0.0
    """What no object tells is waited for by time: that the kubelet has read a ConfigMap."""


@dataclass(frozen=True)
class Scenario:
    """As its folder says; names in it are placeholders."""

    name: str
    title: str
    fault_class: str
    signal: dict[str, str]
    steps: tuple[Step, ...]
    outcome: str
    """`cause`, or one of the contract's outcomes."""
    roots: tuple[str, ...] = ()
    action: str = ""
    evidence: str = ""
    """A pattern that some cited evidence has to match."""
    lab: str = ""
    """What the cluster does not do here, and what is done instead."""
    denied: tuple[str, ...] = ()
    quiet: bool = False
    """Whether noise would change the fault itself."""
    exclusive: str = ""
    """What two runs at once would fight for."""
    objects: str = ""
    """A file of objects and logs as a cluster would tell them: the lab cannot make the fault."""
    limit_s: float = MANIFEST_LIMIT_S
    texts: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def held_out(self) -> bool:
        """Whether no rule was chosen by looking at faults of this class: one class of three, by its name."""
        digest = hashlib.sha256(self.fault_class.encode()).hexdigest()
        return self.fault_class != "controls" and int(digest, 16) % 3 == 0


def load(folder: Path) -> Scenario:
    """Read one scenario."""
    told: dict[str, Any] = yaml.safe_load((folder / "scenario.yaml").read_text())
    expect = told["expect"]
    return Scenario(
        name=folder.name,
        title=told["title"],
        fault_class=told["class"],
        signal=told["signal"],
        steps=tuple(_step(one) for one in told.get("steps", [])),
        outcome=expect["outcome"],
        roots=tuple(expect.get("roots", [])),
        action=expect.get("action", ""),
        evidence=expect.get("evidence", ""),
        lab=told.get("lab", ""),
        denied=tuple(told.get("denied", [])),
        quiet=told.get("quiet", False),
        exclusive=told.get("exclusive", ""),
        objects=told.get("objects", ""),
        limit_s=told.get("limit_s", MANIFEST_LIMIT_S),
        texts={file.name: file.read_text() for file in folder.glob("*.yaml") if file.name != "scenario.yaml"},
    )


def load_all(folder: Path = FOLDER) -> list[Scenario]:
    """Read all scenarios, by name."""
    return [load(one) for one in sorted(folder.iterdir()) if (one / "scenario.yaml").exists()]


def _step(told: dict[str, Any]) -> Step:
    return Step(
        apply=told.get("apply", ""),
        delete=tuple(told.get("delete", [])),
        until=tuple(told.get("until", [])),
        settle_s=float(told.get("settle_s", 0.0)),
    )
