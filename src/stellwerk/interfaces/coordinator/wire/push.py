"""The envelope of a task that is pushed over HTTP, and what the agent answers to it."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class PushedTask(msgspec.Struct, kw_only=True):
    """The task in the envelope. `lease` comes back with every report on it."""

    task_id: str
    task_type: str
    task_data: msgspec.Raw
    requirements: msgspec.Raw
    deadline: str | None
    priority: str
    assigned_agent: str
    status: Literal["assigned"] = "assigned"
    created_at: str
    updated_at: str
    attempt: int
    lease: int


class Envelope(msgspec.Struct, kw_only=True):
    """What is posted to `{endpoints.http}/tasks/execute`."""

    id: str
    sender_id: Literal["task_distributor"] = "task_distributor"
    receiver_id: str
    message_type: Literal["task_assignment"] = "task_assignment"
    priority: str
    timestamp: str
    payload: PushedTask
    correlation_id: None = None
    reply_to: None = None
    ttl: int = 300


class PushAnswer(msgspec.Struct):
    """What an agent answers: a result, an error, or neither where it reports later."""

    result: msgspec.Raw | UnsetType = UNSET
    error: msgspec.Raw | UnsetType = UNSET
