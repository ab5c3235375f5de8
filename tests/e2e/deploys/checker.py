"""The rules that must hold after any number of kills. Pure: evidence in, faults as sentences out.

What a service should be is worked out here once more, from the orders and the states of their operations, and
not by the product's own planning.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from e2e.deploys.evidence import Entry, Evidence, OperationRow, Thing
from e2e.deploys.orders import SERVICES

ENDS = frozenset({"succeeded", "failed", "cancelled", "interrupted"})
Wanted = dict[str, tuple[str, int] | None]
"""By service: the marker and the number of ConfigMaps; None where it is not there."""


def check(evidence: Evidence) -> list[str]:
    """Return every fault found; an empty list is the proof."""
    return [
        *nothing_acknowledged_is_lost(evidence),
        *every_operation_has_ended(evidence),
        *every_end_is_told_once(evidence),
        *one_at_a_time(evidence),
        *every_success_is_a_release(evidence),
        *services_are_as_the_last_orders_say(evidence),
        *inventories_have_what_is_ours(evidence),
        *nothing_foreign_was_touched(evidence),
    ]


def nothing_acknowledged_is_lost(evidence: Evidence) -> Iterator[str]:
    known = {one.id: one.note for one in evidence.operations}
    for operation, note in evidence.acknowledged.items():
        if known.get(operation) != note:
            yield f"{operation}: was acknowledged for {note}, and is not there"


def every_operation_has_ended(evidence: Evidence) -> Iterator[str]:
    for one in evidence.operations:
        if one.state not in ENDS:
            yield f"{one.id}: is still {one.state}"
        elif one.state in {"failed", "cancelled"}:
            yield f"{one.id} ({one.note}): ended {one.state}, which a kill explains not: {one.failure}"
        elif one.state == "interrupted" and not one.failure:
            yield f"{one.id}: does not say why it was interrupted"


def every_end_is_told_once(evidence: Evidence) -> Iterator[str]:
    told = Counter(evidence.told)
    for one in evidence.operations:
        for kind in ("deploy.operation.requested", "deploy.operation.finished"):
            if told[kind, one.id] != 1:
                yield f"{one.id}: {kind} was told {told[kind, one.id]} times"
        if told["deploy.operation.started", one.id] > one.attempt:
            yield f"{one.id}: was begun {one.attempt} times and told more often"


def one_at_a_time(evidence: Evidence) -> Iterator[str]:
    for instance in evidence.ours:
        rows = sorted(_of(evidence, instance), key=lambda one: one.started_at)
        for before, after in pairwise(rows):
            if before.finished_at > after.started_at:
                yield f"{after.id}: was begun before {before.id} had ended"


def every_success_is_a_release(evidence: Evidence) -> Iterator[str]:
    for instance in evidence.ours:
        rows = sorted(_of(evidence, instance), key=lambda one: one.finished_at)
        numbers = [one.release for one in rows if one.release is not None]
        if numbers != sorted(set(numbers)):
            yield f"{instance}: releases are numbered {numbers}"
        for one in rows:
            if one.state == "succeeded" and one.release is None:
                yield f"{one.id}: succeeded, and left no release"


def services_are_as_the_last_orders_say(evidence: Evidence) -> Iterator[str]:
    for instance, things in evidence.ours.items():
        for service, wanted in expected(evidence, instance).items():
            found = {(one.kind, one.name, one.marker) for one in things if one.service == service}
            missing, more = _objects(service, wanted) - found, found - _objects(service, wanted)
            if missing or more:
                yield f"{instance}/{service}: lacks {sorted(missing)}, and has {sorted(more)} too much"


def expected(evidence: Evidence, instance: str) -> Wanted:
    """Work out what each service should be; one that an interrupted operation was about is left out."""
    now: Wanted = dict.fromkeys(SERVICES)
    unsure: set[str] = set()
    releases: dict[int, Wanted] = {}
    for one in sorted(_of(evidence, instance), key=lambda one: one.requested_at):
        order = evidence.orders[one.note]
        if one.state == "succeeded":
            now |= {
                service: _after(order.note, order.count, one, releases, service) for service in one.services
            }
            unsure -= set(one.services)
        else:
            unsure |= set(one.services)
        if one.release is not None:
            releases[one.release] = dict(now)
    return {service: wanted for service, wanted in now.items() if service not in unsure}


def inventories_have_what_is_ours(evidence: Evidence) -> Iterator[str]:
    for instance, things in evidence.ours.items():
        there = {(one.kind, one.name, one.service, one.uid) for one in things}
        for which, entries in (
            ("the cluster", evidence.inventories.get(instance, ())),
            ("the database", evidence.copies.get(instance, ())),
        ):
            yield from _differences(f"{instance}: the inventory in {which}", there, entries)


def nothing_foreign_was_touched(evidence: Evidence) -> Iterator[str]:
    if evidence.ours_elsewhere:
        yield f"objects of ours are where they should not be: {evidence.ours_elsewhere}"
    before, after = _by_name(evidence.foreign_before), _by_name(evidence.foreign_after)
    for name, one in before.items():
        if after.get(name) != one:
            yield f"{name}: is not ours, and was {one}, is {after.get(name)}"
    for name in after.keys() - before.keys():
        yield f"{name}: is not marked as ours, and is new"


def _after(
    note: str, count: int, one: OperationRow, releases: dict[int, Wanted], service: str
) -> tuple[str, int] | None:
    if one.kind == "down":
        return None
    if one.kind == "rollback":
        return releases[min(releases)].get(service)
    return note, count


def _objects(service: str, wanted: tuple[str, int] | None) -> set[tuple[str, str, str]]:
    if wanted is None:
        return set()
    marker, count = wanted
    found = {("ConfigMap", f"{service}-{number}", marker) for number in range(count)}
    return found | ({("Deployment", "web", marker)} if service == "web" else set())


def _differences(what: str, there: set[tuple[str, str, str, str]], entries: Sequence[Entry]) -> Iterator[str]:
    listed = {(one.kind, one.name, one.service, one.uid) for one in entries}
    if lacks := there - listed:
        yield f"{what} lacks {sorted(lacks)}"
    if more := listed - there:
        yield f"{what} lists what is not there: {sorted(more)}"


def _of(evidence: Evidence, instance: str) -> list[OperationRow]:
    return [one for one in evidence.operations if one.instance == instance]


def _by_name(things: Sequence[Thing]) -> dict[str, Thing]:
    return {f"{one.namespace}/{one.kind}/{one.name}": one for one in things}
