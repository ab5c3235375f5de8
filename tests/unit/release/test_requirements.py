"""What an application asks of a cluster, and how a cluster is judged by it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stellwerk.release.application.judging import Facts, Judged, Verdict, judge, overall
from stellwerk.release.application.requirements import Requirement
from stellwerk.release.quantities import quantity
from support.application import application

FULL = Facts("v1.28.3", 3, Decimal(4), Decimal(8 * 1024**3), {"fast": False, "local-path": True})
NOTHING = Facts()


def asked(check: str, required: bool = True, **config: Any) -> Requirement:
    return Requirement("one", "", required, check, config)


def test_file_is_read_as_the_note_describes_it(tmp_path: Path) -> None:
    text = (
        "requirements:\n  - name: Version\n    description: new enough\n    required: true\n"
        "    checkType: kubernetes-version\n    checkConfig: {minimumVersion: '1.24'}\n  - checkType: cpu\n"
    )
    found = application(tmp_path, {"requirements.yml": text})
    assert found.requirements == (
        Requirement("Version", "new enough", True, "kubernetes-version", {"minimumVersion": "1.24"}),
        Requirement("cpu", "", False, "cpu", {}),
    )
    assert found.faults == ()


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("requirements:\n  - checkType: cpus\n", 2, "use one of kubernetes-version"),
        ("requirements:\n  - checkType: cpu\n    requried: true\n", 3, "did you mean required?"),
        ("requirements:\n  - checkType: cpu\n    required: 'yes'\n", 3, "not true or false"),
        ("requirements: {a: 1}\n", 1, "is not a list"),
        ("requirement: []\n", 1, "did you mean requirements?"),
        ("requirements: [\n", 2, "not valid YAML"),
    ],
)
def test_wrong_requirement_is_a_fault_with_its_line(tmp_path: Path, text: str, line: int, part: str) -> None:
    (fault,) = application(tmp_path, {"requirements.yaml": text}).faults
    assert (fault.line, part in str(fault)) == (line, True)


@pytest.mark.parametrize(
    ("requirement", "verdict"),
    [
        (asked("kubernetes-version", minimumVersion="1.24"), Verdict.MET),
        (asked("kubernetes-version", minimumVersion="1.28"), Verdict.MET),
        (asked("kubernetes-version", minimumVersion="1.100"), Verdict.FAIL),
        (asked("kubernetes-version", minimumVersion="new"), Verdict.FAIL),
        (asked("node-count"), Verdict.MET),
        (asked("node-count", minimum="3"), Verdict.MET),
        (asked("node-count", required=False, minimum=4), Verdict.FAIL),
        (asked("storage-class"), Verdict.MET),
        (asked("storage-class", name="fast"), Verdict.MET),
        (asked("storage-class", name="slow"), Verdict.FAIL),
        (asked("cpu"), Verdict.MET),
        (asked("cpu", minimum="4001m"), Verdict.FAIL),
        (asked("cpu", required=False, minimum=5), Verdict.WARNING),
        (asked("memory", minimum="8Gi"), Verdict.MET),
        (asked("memory", required=False, minimum="9G"), Verdict.WARNING),
        (asked("memory", minimum="much"), Verdict.FAIL),
        (asked("custom"), Verdict.WARNING),
    ],
)
def test_cluster_is_judged(requirement: Requirement, verdict: Verdict) -> None:
    assert judge(requirement, FULL).verdict is verdict


@pytest.mark.parametrize("check", ["kubernetes-version", "node-count", "storage-class", "cpu", "memory"])
def test_what_could_not_be_read_is_not_met(check: str) -> None:
    judged = judge(asked(check), NOTHING)
    assert judged.verdict is Verdict.FAIL
    assert "could not be read" in judged.message


def test_cluster_without_storage_only_warns() -> None:
    assert judge(asked("storage-class"), Facts(storage_classes={})).verdict is Verdict.WARNING


def test_only_what_is_required_fails_the_whole() -> None:
    def one(verdict: Verdict, required: bool) -> Judged:
        return Judged(asked("cpu", required), verdict, "")

    assert overall([]) is Verdict.MET
    assert overall([one(Verdict.FAIL, False), one(Verdict.MET, True)]) is Verdict.MET
    assert overall([one(Verdict.WARNING, False), one(Verdict.MET, True)]) is Verdict.WARNING
    assert overall([one(Verdict.WARNING, False), one(Verdict.FAIL, True)]) is Verdict.FAIL


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2", 2), ("500m", "0.5"), ("4Gi", 4 * 1024**3), ("1e3", 1000), ("1k", 1000), ("100n", "1e-7")],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, amount: int | str) -> None:
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gb", "1..2", "--1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)
