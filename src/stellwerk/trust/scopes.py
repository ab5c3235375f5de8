"""Scopes: what a principal may do, by subject."""

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache


class Scope(StrEnum):
    """One right. `<subject>:admin` implies every right of its subject, `admin` implies all."""

    FLEET_READ = "fleet:read"
    FLEET_WRITE = "fleet:write"
    """Register and report for agents of one's own."""
    FLEET_ADMIN = "fleet:admin"
    """Also change and remove agents that somebody else owns."""
    TASKS_READ = "tasks:read"
    TASKS_SUBMIT = "tasks:submit"
    TASKS_WORK = "tasks:work"
    """Take, report on and settle tasks as an agent of one's own."""
    TASKS_ADMIN = "tasks:admin"
    INCIDENTS_READ = "incidents:read"
    INCIDENTS_INVESTIGATE = "incidents:investigate"
    """Open and cancel investigations."""
    INCIDENTS_REMEDIATE = "incidents:remediate"
    """Carry out the remedy that an investigation chose."""
    INCIDENTS_APPROVE = "incidents:approve"
    """Approve remedies that somebody else asked for."""
    INCIDENTS_ADMIN = "incidents:admin"
    """Also change the catalogue of remedies, and see everybody's investigations."""
    SERVICES_READ = "services:read"
    """See what is deployed, and what an operation would do."""
    SERVICES_DEPLOY = "services:deploy"
    """Deploy, update, remove, and go back."""
    SERVICES_ADMIN = "services:admin"
    """Also put manifests in the place of the application's own, and delete its events."""
    PARAMETERS_READ = "parameters:read"
    PARAMETERS_WRITE = "parameters:write"
    EVENTS_READ = "events:read"
    METRICS_READ = "metrics:read"
    KEYS_ADMIN = "keys:admin"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


def granted_by(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Expand scopes by what they imply."""
    return _granted_by(frozenset(scopes))


@lru_cache(1_000)
def _granted_by(given: frozenset[Scope]) -> frozenset[Scope]:
    # Asked again for every request of an agent.
    if Scope.ADMIN in given:
        return ALL_SCOPES
    subjects = {subject_of(scope) for scope in given if scope.endswith(":admin")}
    return given | {scope for scope in ALL_SCOPES if subject_of(scope) in subjects}


def administration_of(scope: Scope) -> Scope:
    """Name the scope that administers a scope's subject; `admin` where the subject has none of its own."""
    text = f"{subject_of(scope)}:admin"
    return Scope(text) if text in ALL_SCOPES else Scope.ADMIN


def subject_of(scope: Scope) -> str:
    """Name the subject of a scope: `fleet` of `fleet:read`."""
    return scope.partition(":")[0]
