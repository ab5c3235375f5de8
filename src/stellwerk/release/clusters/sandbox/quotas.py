"""Quotas: what they count, what is used of it, and what would be too much."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.kinds import KindInfo
from stellwerk.release.clusters.sandbox.table import Table
from stellwerk.release.conditions import entries, part, status_of
from stellwerk.release.objects import Body
from stellwerk.release.quantities import quantity

_SHORT = {"configmaps", "persistentvolumeclaims", "pods", "secrets", "services", "resourcequotas"}
"""Kinds that are counted under their plain name as well."""
_AMOUNTS = {
    "cpu": ("requests", "cpu"),
    "memory": ("requests", "memory"),
    "requests.cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"),
    "limits.memory": ("limits", "memory"),
}


def check_quotas(table: Table, body: Body, infos: Iterable[KindInfo]) -> None:
    """Refuse a new object that is beyond a quota of its namespace. Raises Refused."""
    info = next(one for one in infos if one.kind == body["kind"] and one.api_version == body["apiVersion"])
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    for quota in table.of("ResourceQuota"):
        if quota["metadata"]["namespace"] != namespace or part(quota, "spec").get("scopes"):
            continue
        hard = part(quota, "spec", "hard")
        asked = _counted(body, info, hard)
        if info.kind == "Pod" and (unsaid := [one for one in hard if one in _AMOUNTS and not asked.get(one)]):
            raise _refused(info, name, f"failed quota: {quota['metadata']['name']}: must specify {unsaid[0]}")
        used = usage(table, quota, [info])
        over = [one for one in asked if used[one] + asked[one] > quantity(str(hard[one]))]
        if over:
            texts = (",".join(f"{one}={_shown(amounts[one])}" for one in over) for amounts in (asked, used))
            requested, known = texts
            limited = ",".join(f"{one}={hard[one]}" for one in over)
            raise _refused(
                info,
                name,
                f"exceeded quota: {quota['metadata']['name']}, requested: {requested},"
                f" used: {known}, limited: {limited}",
            )


def usage(table: Table, quota: Body, infos: Iterable[KindInfo]) -> dict[str, Decimal]:
    """Return what is used of everything that a quota limits, by these kinds."""
    hard, namespace = part(quota, "spec", "hard"), quota["metadata"]["namespace"]
    used = dict.fromkeys(hard, Decimal(0))
    for info in infos:
        if not _counts(info, hard):
            continue
        for body in table.of(info.kind, info.group):
            if body["metadata"]["namespace"] == namespace and not _is_over(body):
                for name, amount in _counted(body, info, hard).items():
                    used[name] += amount
    return used


def quota_status(table: Table, quota: Body, infos: Sequence[KindInfo]) -> Body:
    """Return what a quota says of itself."""
    used = {name: _shown(amount) for name, amount in usage(table, quota, infos).items()}
    return {"hard": part(quota, "spec", "hard"), "used": used}


def total(pod: Body, side: str, resource: str) -> Decimal:
    """Return how much the containers of a pod ask for, or may take; `side`: `requests` or `limits`."""
    amounts = (
        part(one, "resources", side).get(resource, part(one, "resources", "limits").get(resource, 0))
        for one in entries(part(pod, "spec"), "containers")
    )
    return sum((quantity(str(amount)) for amount in amounts), Decimal(0))


def _counts(info: KindInfo, hard: Mapping[str, object]) -> bool:
    return not hard.keys().isdisjoint(_names(info)) or (
        info.kind == "Pod" and not hard.keys().isdisjoint(_AMOUNTS)
    )


def _counted(body: Body, info: KindInfo, hard: Mapping[str, object]) -> dict[str, Decimal]:
    found = {name: Decimal(1) for name in _names(info) if name in hard}
    if info.kind == "Pod":
        found |= {name: total(body, *place) for name, place in _AMOUNTS.items() if name in hard}
    return found


def _names(info: KindInfo) -> list[str]:
    counted = f"count/{info.plural}.{info.group}" if info.group else f"count/{info.plural}"
    return [counted, *([info.plural] if not info.group and info.plural in _SHORT else [])]


def _is_over(body: Body) -> bool:
    return body["kind"] == "Pod" and status_of(body).get("phase") in {"Succeeded", "Failed"}


def _refused(info: KindInfo, name: str, text: str) -> Refused:
    return Refused("quota", f'{info.plural} "{name}" is forbidden: {text}', 403)


def _shown(amount: Decimal) -> str:
    return str(int(amount)) if amount == int(amount) else f"{int(amount * 1000)}m"
