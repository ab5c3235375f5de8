"""Agents for tests: views and registrations with every field filled, each changeable."""

from typing import Any

from msgspec.structs import replace

from stellwerk.fleet.health import health_score
from stellwerk.fleet.model import AgentView, Condition, InstanceView, Presence, Registration
from stellwerk.fleet.projection import GroupRecord, project_group
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

ALICE = Principal("key:alice", "alice", frozenset({Scope.FLEET_READ, Scope.FLEET_WRITE}))
BOB = Principal("key:bob", "bob", frozenset({Scope.FLEET_READ, Scope.FLEET_WRITE}))
ADMIN = Principal("key:admin", "admin", frozenset({Scope.FLEET_ADMIN}))


def registration(group: str = "a1", **fields: Any) -> Registration:
    """A registration of a worker that joined through the coordinator."""
    return Registration(**{"group": group, "joined_through": "coordinator", "kind": "worker", **fields})


def instance_view(instance: str = "default", **fields: Any) -> InstanceView:
    """An instance that is online and active; its health score follows from the rest unless given."""
    view = InstanceView(
        **{
            "instance": instance,
            "version": "1.0.0",
            "capabilities": (),
            "services": (),
            "tags": (),
            "labels": {},
            "endpoints": {},
            "metadata": {},
            "condition": Condition.ACTIVE,
            "presence": Presence.ONLINE,
            "registered_at": 1,
            "updated_at": 1,
            "seen_at": 1,
            "load": {},
            "health_score": 1.0,
            "weight_hint": 1.0,
            "succeeded": 0,
            "failed": 0,
            "response_ms": 0.0,
            **fields,
        }
    )
    if "health_score" in fields:
        return view
    return replace(view, health_score=health_score(view.condition, view.presence, view.load))


def agent_view(
    group: str = "a1",
    *instances: InstanceView,
    kind: str = "worker",
    registered_at: int = 1,
    revision: int = 1,
    **fields: Any,
) -> AgentView:
    """A group of these instances, or of one with these fields."""
    record = GroupRecord(
        group=group, kind=kind, joined_through="coordinator", owner="key:alice", registered_at=registered_at
    )
    return project_group(record, instances or (instance_view(**fields),), revision)
