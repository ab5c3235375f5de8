"""The submission: from its body to what the queue takes."""

import msgspec
from msgspec import UNSET

from stellwerk.clock import MICROSECONDS
from stellwerk.fleet.deployment.record import JOINED_THROUGH
from stellwerk.http.problem import Problem
from stellwerk.interfaces.deployment.wire.tasks import SubmitTask
from stellwerk.interfaces.deployment.words import CAPABILITY_OF, is_idempotent, priority_of
from stellwerk.trust.vault.references import check_references
from stellwerk.work.requirements import Requirements
from stellwerk.work.task import Submission

TIMEOUT_S = 300.0
"""Time for a task whose submission names none, as in the published example."""
EXPIRES_S = 3_600.0
"""A task that nobody could begin for so long is not what its author wants any more."""


def submission(body: SubmitTask, group: str | None) -> Submission:
    """Read a submission for the named group, or for whoever matches. Raises Problem, InvalidReference."""
    payload = bytes(body.payload)
    if not payload.startswith(b"{"):
        raise Problem.invalid("payload is an object")
    check_references(body.credentials)
    data = {"task_type": body.task_type, "parameters": body.payload}
    asked = _requirements(body, group)
    idempotent = is_idempotent(body.task_type, payload) if body.idempotent is None else body.idempotent
    timeout_s = TIMEOUT_S if body.timeout is None else body.timeout
    return Submission(
        task_data=msgspec.json.encode(data).decode(),
        task_type=body.task_type,
        priority=priority_of(body.priority),
        priority_name=str(body.priority),
        requirements=asked,
        requirements_text=_text(asked, body),
        idempotency_key=body.idempotency_key,
        repeatable=idempotent,
        expires_us=_us(EXPIRES_S + timeout_s if body.expires_in is None else body.expires_in),
        timeout_us=_us(timeout_s),
        application=JOINED_THROUGH,
    )


def _requirements(body: SubmitTask, group: str | None) -> Requirements:
    if body.agent is UNSET and body.selector is UNSET and body.capability is UNSET:
        raise Problem.invalid("Give the agent, a selector, a capability, or several of them")
    capability = None if body.capability is UNSET else body.capability
    if group is None and capability is None:
        capability = CAPABILITY_OF.get(body.task_type.partition(".")[0])
    return Requirements(
        agent=group,
        capabilities=() if capability is None else (capability,),
        labels={} if body.selector is UNSET else body.selector.labels,
        certified=bool(body.credentials),
    )


def _text(asked: Requirements, body: SubmitTask) -> str:
    """Write the requirements as another interface would show them."""
    shown = {
        "agent": asked.agent,
        "capabilities": list(asked.capabilities),
        "labels": asked.labels,
        "credentials": body.credentials,
    }
    return msgspec.json.encode({name: value for name, value in shown.items() if value}).decode()


def _us(seconds: float) -> int:
    return int(seconds * MICROSECONDS)
