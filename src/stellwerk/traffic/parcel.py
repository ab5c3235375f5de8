"""Parcels: what is sent to an agent for an execution, and what stays beside its task."""

import os
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from stellwerk.traffic.execution import Call, Hook, Target
from stellwerk.traffic.webhook_store import registration
from stellwerk.work.entrusting import Beside

_INSERT = """
INSERT INTO executions (task_id, run_id, parent_id, session_id, actor_id, caller, group_id, function, kind,
pin, headers, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
_SET_VERSION = "UPDATE executions SET version = $2, accepted_at = NULL WHERE task_id = $1"

_PLAIN = "-._~:@"
_POOL_BYTES = 4_096
_RANDOM_BYTES = 16


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """An execution before it is sent."""

    id: str
    target: Target
    input: str
    run_id: str
    parent_id: str | None
    session_id: str | None
    actor_id: str | None
    caller: str | None
    pin: str | None
    headers: Mapping[str, str]
    webhook: Hook | None = None
    """Who is told of its end; None also in a parcel that was read: nothing on its way needs it."""

    def url(self, address: str) -> str:
        """Return where it is posted at an instance."""
        # The name is the agent's; whatever it holds, it stays one segment of the path.
        return f"{address}/{self.target.kind}s/{quote(self.target.function, safe=_PLAIN)}"

    def head(self, version: str) -> dict[str, str]:
        """Return the headers that the agent gets."""
        said = {
            "X-Parent-Execution-ID": self.parent_id,
            "X-Session-ID": self.session_id,
            "X-Actor-ID": self.actor_id,
            "X-Caller-Agent-ID": self.caller,
        }
        return {
            **self.headers,
            "Content-Type": "application/json",
            "X-Execution-ID": self.id,
            "X-Run-ID": self.run_id,
            "X-Workflow-ID": self.run_id,
            "X-Routed-Version": version,
            **{name: value for name, value in said.items() if value is not None},
        }

    def beside(self, version: str | None, now_us: int) -> tuple[Beside, ...]:
        """Return the rows that are written with its task."""
        told = () if self.webhook is None else (registration(self.id, self.webhook, now_us),)
        target = self.target
        own = Beside(
            _INSERT,
            (
                self.id,
                self.run_id,
                self.parent_id,
                self.session_id,
                self.actor_id,
                self.caller,
                target.group,
                target.function,
                target.kind,
                self.pin,
                msgspec.json.encode(self.headers).decode() if self.headers else "{}",
                version,
            ),
        )
        return own, *told


def version_set(execution_id: str, version: str) -> Beside:
    """Return the change of the row when another version gets the execution."""
    return Beside(_SET_VERSION, (execution_id, version))


class Ids:
    """Mints ids that grow with time and cannot be guessed: who knows one may report on its execution.

    Randomness is fetched in batches, because the operating system's costs 70 µs under load.
    """

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def new(self, prefix: str, now_us: int) -> str:
        """Return a new id: prefix, milliseconds, 128 random bits."""
        if self._at + _RANDOM_BYTES > len(self._pool):
            self._pool, self._at = os.urandom(_POOL_BYTES), 0
        chance = self._pool[self._at : self._at + _RANDOM_BYTES]
        self._at += _RANDOM_BYTES
        return f"{prefix}_{now_us // 1_000:012x}{chance.hex()}"


def pack(call: Call, ids: Ids, now_us: int) -> Parcel:
    """Make a parcel of a call."""
    return Parcel(
        id=ids.new("exec", now_us),
        target=call.target,
        input=call.input,
        run_id=call.run_id or ids.new("run", now_us),
        parent_id=call.parent_id,
        session_id=call.session_id,
        actor_id=call.actor_id,
        caller=call.caller,
        pin=call.pin,
        headers=call.headers,
        webhook=call.webhook,
    )
