"""What a node's registration means to the fleet."""

import hashlib
from typing import Any

import msgspec

from stellwerk.fleet.joining import MAX_METADATA_BYTES
from stellwerk.fleet.model import BASE_URL, DEFAULT_VERSION, NODES, AgentView, Condition, Registration
from stellwerk.interfaces.nodes.wire.nodes import Function, RegisterNode
from stellwerk.interfaces.nodes.words import KIND, READY
from stellwerk.settings import TrafficSettings

SCHEMAS = ("input_schema", "output_schema", "memory_config", "triggers")
"""What is left out, of the longest functions first, where a registration is longer than may be kept."""

encode = msgspec.json.Encoder().encode


def registration_of(body: RegisterNode, known: AgentView | None, settings: TrafficSettings) -> Registration:
    """Make the fleet's registration of a node's.

    A process that was active stays so when it registers again; any other waits for its first ready heartbeat,
    because agents register before they listen.
    """
    base_url = body.base_url.rstrip("/")
    version = body.version or DEFAULT_VERSION
    instance = body.instance_id or derived_instance(version, base_url)
    before = None if known is None else known.instance(instance)
    active = body.lifecycle_status == READY or (before is not None and before.condition is Condition.ACTIVE)
    reasoners, skills = body.reasoners or [], body.skills or []
    return Registration(
        group=body.id,
        joined_through=NODES,
        kind=KIND,
        instance=instance,
        version=version,
        capabilities=tuple(one.id for one in (*reasoners, *skills)),
        tags=tuple(body.proposed_tags or ()),
        endpoints={BASE_URL: base_url},
        metadata=_metadata(body, reasoners, skills),
        condition=Condition.ACTIVE if active else Condition.INACTIVE,
        first_weight=settings.first_weight,
        later_weight=settings.later_weight,
    )


def derived_instance(version: str, base_url: str) -> str:
    """Name a process that has no name, the same whenever it comes from the same place."""
    return "at-" + hashlib.sha256(f"{version} {base_url}".encode()).hexdigest()[:16]


def _metadata(body: RegisterNode, reasoners: list[Function], skills: list[Function]) -> dict[str, Any]:
    kept: dict[str, Any] = {
        **(body.metadata or {}),
        "team_id": body.team_id or "default",
        "group_id": body.group_id or body.id,
        "reasoners": [_function(one) for one in reasoners],
        "skills": [_function(one) for one in skills],
    }
    functions = [*kept["reasoners"], *kept["skills"]]
    excess = len(encode(kept)) - MAX_METADATA_BYTES
    for one in sorted(functions, key=lambda function: -len(encode(function))):
        if excess <= 0:
            break
        before = len(encode(one))
        for name in SCHEMAS:
            one.pop(name, None)
        excess -= before - len(encode(one))
    return kept


def _function(one: Function) -> dict[str, Any]:
    return {name: value for name in one.__struct_fields__ if (value := getattr(one, name)) is not None}
