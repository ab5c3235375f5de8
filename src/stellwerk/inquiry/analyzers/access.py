"""Programs that are denied something by the cluster: which right is missing, and who should have given it."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.complaining import complaints
from stellwerk.inquiry.analyzers.quoting import log_said, not_there, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.resemblance import nearest
from stellwerk.inquiry.facts.templates import pod_spec
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body

_DENIED = re.compile(
    r"User "
    r"\\?\"system:serviceaccount:(?P<namespace>[^:\"\\]+):(?P<account>[^\"\\]+)\\?\" "
    r"cannot (?P<verb>\w+) resource \\?\"(?P<resource>[^\"\\]+)\\?\""
    r"(?: in API group \\?\"(?P<group>[^\"\\]*)\\?\")?(?: in the namespace \\?\"(?P<where>[^\"\\]+)\\?\")?"
)


class Denied(NamedTuple):
    """One right that an account has not."""

    namespace: str
    account: str
    verb: str
    resource: str
    group: str
    where: str


def examine(facts: Facts) -> Iterator[Clue]:
    """Find rights that accounts lack."""
    for workload in facts.workloads:
        told: set[Denied] = set()
        for pod in facts.pods(workload):
            for log, line in complaints(facts, pod):
                found = _DENIED.search(line)
                if found is None:
                    continue
                denied = Denied(**{name: value or "" for name, value in found.groupdict().items()})
                if denied not in told:
                    told.add(denied)
                    yield _clue(facts, workload, pod, denied, log_said(log, line))


def _clue(facts: Facts, workload: Body, pod: Body, denied: Denied, quoted: Seen) -> Clue:
    blamed, why, seen = _to_blame(facts, workload, denied)
    return Clue(
        "AccessDenied",
        ref_of(pod),
        f"the account {denied.account} may not {denied.verb} {denied.resource}: {why}",
        (quoted, *seen),
        blames=(blamed,),
        facts={
            "account": denied.account,
            "verb": denied.verb,
            "resource": denied.resource,
            "group": denied.group,
        },
        strength=0.9,
    )


def _to_blame(facts: Facts, workload: Body, denied: Denied) -> tuple[ObjectRef, str, tuple[Seen, ...]]:
    account = named("ServiceAccount", denied.namespace, denied.account)
    bindings = [*facts.of("RoleBinding"), *facts.of("ClusterRoleBinding")]
    own = [one for one in bindings if _has(one, denied)]
    for binding in own:
        role = _role_of(binding)
        body = facts.get(role)
        if body is None and facts.absent(role):
            return (
                role,
                f"{ref_of(binding)} gives it {role}, which is not there",
                (said(binding, f"roleRef {role}"), not_there(role)),
            )
    partial = [
        (binding, body)
        for binding in own
        if (body := facts.get(_role_of(binding))) and _speaks_of(body, denied)
    ]
    mine = partial or [
        (binding, body)
        for binding in own
        if (body := facts.get(_role_of(binding))) and not ref_of(body).name.startswith("system:")
    ]
    if mine:
        binding, role_body = mine[0]
        return (
            ref_of(role_body),
            f"{ref_of(role_body)}, which it has, does not allow it",
            (
                said(binding, f"subjects {_subjects(binding)}"),
                said(role_body, f"rules {role_body.get('rules')}"),
            ),
        )
    allowing = [
        one
        for one in bindings
        if (body := facts.get(_role_of(one)))
        and _allows(body, denied)
        and not ref_of(one).name.startswith("system:")
        and _role_of(one).name != "cluster-admin"
    ]
    for binding in allowing:
        names = [
            str(one.get("name"))
            for one in entries(binding, "subjects")
            if one.get("kind") == "ServiceAccount"
        ]
        if _used_here(facts, workload, names, denied):
            return (
                ref_of(workload),
                f"{', '.join(names)} has the right, and the pods run as {denied.account}",
                (
                    said(binding, f"subjects {_subjects(binding)}"),
                    said(
                        workload,
                        f"serviceAccountName {pod_spec(workload).get('serviceAccountName') or 'default'}",
                    ),
                ),
            )
        if nearest(denied.account, names) or denied.account in names or not _there(facts, names, denied):
            return (
                ref_of(binding),
                f"{ref_of(binding)} gives it to {', '.join(names)}",
                (said(binding, f"subjects {_subjects(binding)}"),),
            )
    return (
        account,
        "no role that it has allows it",
        (said(facts.get(account) or workload, f"no binding names {denied.account}"),),
    )


def _used_here(facts: Facts, workload: Body, names: Sequence[str], denied: Denied) -> bool:
    """Whether the pods run as the namespace's default account, and another one was made for them."""
    return (
        denied.account == "default"
        and _there(facts, names, denied)
        and ref_of(workload).namespace == denied.namespace
    )


def _there(facts: Facts, names: Sequence[str], denied: Denied) -> bool:
    return any(facts.get(named("ServiceAccount", denied.namespace, name)) is not None for name in names)


def _has(binding: Body, denied: Denied) -> bool:
    return any(
        one.get("kind") == "ServiceAccount"
        and one.get("name") == denied.account
        and (one.get("namespace") or ref_of(binding).namespace) == denied.namespace
        for one in entries(binding, "subjects")
    )


def _role_of(binding: Body) -> ObjectRef:
    role = part(binding, "roleRef")
    namespace = ref_of(binding).namespace if role.get("kind") == "Role" else ""
    return named(str(role.get("kind")), namespace, str(role.get("name")))


def _allows(role: Body, denied: Denied) -> bool:
    return any(
        _in(rule.get("apiGroups"), denied.group)
        and _in(rule.get("resources"), denied.resource)
        and _in(rule.get("verbs"), denied.verb)
        for rule in entries(role, "rules")
    )


def _speaks_of(role: Body, denied: Denied) -> bool:
    return any(_in(rule.get("resources"), denied.resource) for rule in entries(role, "rules"))


def _in(allowed: object, wanted: str) -> bool:
    return isinstance(allowed, list) and ("*" in allowed or wanted in allowed)


def _subjects(binding: Body) -> str:
    return ", ".join(f"{one.get('kind')}/{one.get('name')}" for one in entries(binding, "subjects")) or "none"
