"""The checker finds what is wrong: a proof by a checker that finds nothing would be none."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from e2e.deploys.checker import check
from e2e.deploys.evidence import Entry, Evidence, OperationRow, Thing
from e2e.deploys.orders import SERVICES, Order

ENDED = [f"deploy.operation.{what}" for what in ("requested", "started", "finished")]


def row(
    number: int, kind: str = "up", services: tuple[str, ...] = ("texts",), **more: object
) -> OperationRow:
    found = OperationRow(
        id=f"op{number}",
        instance="i0",
        kind=kind,
        services=services,
        note=f"i0-{number}",
        state="succeeded",
        requested_at=f"0{number}:00",
        started_at=f"0{number}:10",
        finished_at=f"0{number}:20",
        attempt=1,
        release=number,
        failure="",
    )
    return replace(found, **more)  # type: ignore[arg-type]  # named by the tests


def thing(name: str, marker: str = "i0-1", service: str = "texts") -> Thing:
    return Thing("n", "ConfigMap", name, f"uid-{name}", marker, "1", service)


def right() -> Evidence:
    """Two operations: everything, then one service with two objects."""
    orders = {f"i0-{number}": Order(f"i0-{number}", "up", (), 1) for number in (1, 2)}
    ours = [thing("texts-0", "i0-2"), thing("settings-0", service="settings"), thing("web-0", service="web")]
    ours.append(Thing("n", "Deployment", "web", "uid-web", "i0-1", "1", "web"))
    entries = [Entry(one.kind, one.name, one.service, one.uid) for one in ours]
    rows = [row(1, services=SERVICES), row(2)]
    return Evidence(
        orders=orders,
        acknowledged={one.id: one.note for one in rows},
        operations=rows,
        told=[(kind, one.id) for one in rows for kind in ENDED],
        ours={"i0": ours},
        ours_elsewhere=[],
        inventories={"i0": entries},
        copies={"i0": entries},
        foreign_before=[thing("theirs", service="")],
        foreign_after=[thing("theirs", service="")],
    )


def test_what_is_right_has_no_fault() -> None:
    assert check(right()) == []


WRONG: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "lost": (lambda it: replace(it, acknowledged={"op9": "i0-9"}), "was acknowledged"),
    "open": (
        lambda it: replace(it, operations=[it.operations[0], row(2, state="waiting")]),
        "is still waiting",
    ),
    "failed": (lambda it: replace(it, operations=[it.operations[0], row(2, state="failed")]), "ended failed"),
    "silent": (
        lambda it: replace(it, operations=[it.operations[0], row(2, state="interrupted")]),
        "does not say why",
    ),
    "told twice": (lambda it: replace(it, told=[*it.told, (ENDED[2], "op1")]), "was told 2 times"),
    "together": (
        lambda it: replace(it, operations=[it.operations[0], row(2, started_at="01:15")]),
        "before op1 had ended",
    ),
    "no release": (
        lambda it: replace(it, operations=[it.operations[0], row(2, release=None)]),
        "left no release",
    ),
    "old object": (
        lambda it: replace(it, ours={"i0": [thing("texts-0", "i0-1"), *it.ours["i0"][1:]]}),
        "i0/texts: lacks",
    ),
    "not pruned": (
        lambda it: replace(it, ours={"i0": [*it.ours["i0"], thing("texts-1", "i0-2")]}),
        "too much",
    ),
    "unlisted": (lambda it: replace(it, inventories={}), "the inventory in the cluster lacks"),
    "listed": (
        lambda it: replace(it, copies={"i0": [*it.copies["i0"], Entry("ConfigMap", "gone", "texts", "")]}),
        "the inventory in the database lists what is not there",
    ),
    "touched": (
        lambda it: replace(it, foreign_after=[replace(it.foreign_after[0], version="2")]),
        "is not ours, and was",
    ),
    "removed": (lambda it: replace(it, foreign_after=[]), "is not ours, and was"),
    "made": (
        lambda it: replace(it, foreign_after=[*it.foreign_after, thing("new", service="")]),
        "is not marked as ours, and is new",
    ),
    "elsewhere": (lambda it: replace(it, ours_elsewhere=[thing("lost")]), "where they should not be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    spoil, said = WRONG[name]

    faults = check(spoil(right()))

    assert any(said in fault for fault in faults), faults


def test_an_interrupted_operation_leaves_its_services_open() -> None:
    stopped = row(2, state="interrupted", release=None, failure="Interrupted: it was cut off 5 times")
    evidence = replace(right(), operations=[right().operations[0], stopped])

    assert check(evidence) == []


def test_a_rollback_brings_back_what_the_first_release_had() -> None:
    orders = {**right().orders, "i0-3": Order("i0-3", "rollback", (), 0, revision=1)}
    rows = [*right().operations, row(3, "rollback", SERVICES)]
    evidence = replace(
        right(),
        orders=orders,
        operations=rows,
        told=[(kind, one.id) for one in rows for kind in ENDED],
        ours={"i0": [thing("texts-0", "i0-1"), *right().ours["i0"][1:]]},
    )

    assert check(evidence) == []
