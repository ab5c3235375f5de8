"""From a leased task to what its holder is sent: one way for the heartbeat, the claim and the stream."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.interfaces.deployment.credentials import Credentials, CredentialsUnavailable
from stellwerk.interfaces.deployment.submitting import TIMEOUT_S
from stellwerk.interfaces.deployment.wire.tasks import DeliveredTask
from stellwerk.interfaces.deployment.words import stamp
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.service import Work
from stellwerk.work.task import Assignment

_OWN_FIELDS = frozenset({"task_type", "task_id", "required_capabilities"})
_data = msgspec.json.Decoder(dict[str, msgspec.Raw])

log = structlog.get_logger(__name__)


class Delivery:
    """Makes leased tasks ready to be sent; one whose credentials cannot be read fails instead."""

    def __init__(self, work: Work, credentials: Credentials, clock: Clock) -> None:
        self._work = work
        self._credentials = credentials
        self._clock = clock

    async def deliver_all(self, assignments: Sequence[Assignment]) -> list[DeliveredTask]:
        """Return the tasks that can be sent, in order."""
        tasks = [await self.deliver(one) for one in assignments]
        return [task for task in tasks if task is not None]

    async def deliver(self, assignment: Assignment) -> DeliveredTask | None:
        """Return the task for its holder; None if it has failed for want of its credentials."""
        try:
            values = await self._credentials.resolve(assignment.task_id, assignment.requirements)
        except CredentialsUnavailable as error:
            await self._fail(assignment, str(error))
            return None
        return self.write(assignment, values)

    def write(self, assignment: Assignment, credentials: Mapping[str, str]) -> DeliveredTask:
        """Write a task as the interface publishes it."""
        return DeliveredTask(
            task_id=assignment.task_id,
            task_type=assignment.task_type,
            payload=payload_of(assignment.task_data),
            credentials=dict(credentials),
            timeout=self._timeout_s(assignment),
            attempt=assignment.attempt,
            lease=assignment.fence,
            priority=assignment.priority,
            created_at=stamp(assignment.submitted_at),
            idempotent=assignment.repeatable,
        )

    def _timeout_s(self, assignment: Assignment) -> float:
        """Return the seconds that the task has, its deadline looked at too."""
        given_us = assignment.timeout_us
        timeout_s = TIMEOUT_S if given_us is None else given_us / MICROSECONDS
        if assignment.deadline_at is None:
            return timeout_s
        left_s = (assignment.deadline_at - self._clock.now_us()) / MICROSECONDS
        return max(1.0, round(left_s if given_us is None else min(timeout_s, left_s), 3))

    async def _fail(self, assignment: Assignment, why: str) -> None:
        error = {"type": "credentials.unavailable", "message": why, "retriable": False}
        try:
            await self._work.fail(
                assignment.holder,
                assignment.task_id,
                assignment.fence,
                msgspec.json.encode(error).decode(),
                retryable=False,
            )
        except WorkRefused as refused:
            log.info("a task without credentials had gone", task=assignment.task_id, detail=str(refused))


def payload_of(task_data: str) -> msgspec.Raw:
    """Return the parameters of a task; those of other interfaces may stand beside its type."""
    data: dict[str, Any] = _data.decode(task_data)
    for name in ("parameters", "payload"):
        given = data.get(name)
        if given is not None and bytes(given).startswith(b"{"):
            return msgspec.Raw(bytes(given))
    rest = {name: value for name, value in data.items() if name not in _OWN_FIELDS}
    return msgspec.Raw(msgspec.json.encode(rest))
