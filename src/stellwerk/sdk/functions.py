"""The functions of a worker, and what becomes of a call.

A result, an error, or nothing because it was stopped.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stellwerk.sdk.context import Context
from stellwerk.sdk.errors import PermanentFailure
from stellwerk.sdk.wire import Cancelled, Complete, Fail, Frame, encode

ANY_TYPE = "*"
TRACE_CHARACTERS = 4_000
"""The end of a traceback is what tells; an error should stay small."""


@dataclass(frozen=True, slots=True)
class Function:
    """A registered function."""

    call: Callable[[Context], Any]
    asynchronous: bool


@dataclass(slots=True)
class Functions:
    """Functions by task type."""

    _by_type: dict[str, Function] = field(default_factory=dict)

    def register(self, task_type: str, call: Callable[[Context], Any]) -> None:
        """Add a function. Raises ValueError when the type has one."""
        if task_type in self._by_type:
            raise ValueError(f"there is already a function for tasks of the type {task_type!r}")
        # An instance with an asynchronous `__call__` is not a coroutine function itself.
        asynchronous = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
            getattr(call, "__call__", None)  # noqa: B004  asked for its kind, not whether it is there
        )
        self._by_type[task_type] = Function(call, asynchronous)

    def find(self, task_type: str | None) -> Function | None:
        """Return the function for a type, else the one for any type, else None."""
        return self._by_type.get(task_type or "") or self._by_type.get(ANY_TYPE)

    @property
    def task_types(self) -> tuple[str, ...]:
        """The types that have a function of their own, sorted."""
        return tuple(sorted(name for name in self._by_type if name != ANY_TYPE))


def success(frame: Frame, result: Any, limit_bytes: int) -> bytes:
    """Render a result as the frame that ends the task; one that cannot be sent becomes a failure."""
    try:
        encoded = encode(Complete(frame.task_id, frame.lease, result))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as fault:
        return failure(frame, f"the result cannot be written as JSON: {fault}", retryable=False)
    if len(encoded) > limit_bytes:
        text = f"the result has about {len(encoded)} bytes; at most {limit_bytes} are taken"
        return failure(frame, text, retryable=False)
    return encoded


def failure(frame: Frame, error: Any, *, retryable: bool) -> bytes:
    """Render an error as the frame that ends the attempt."""
    return encode(Fail(frame.task_id, frame.lease, error, retryable))


def failure_of(frame: Frame, fault: BaseException) -> bytes:
    """Render what a function raised."""
    if isinstance(fault, PermanentFailure):
        try:
            return failure(frame, fault.error, retryable=False)
        except (TypeError, ValueError, OverflowError):
            return failure(frame, str(fault.error), retryable=False)
    # The first frame of the traceback is this package's own.
    trace = fault.__traceback__.tb_next if fault.__traceback__ else None
    text = "".join(traceback.format_exception(type(fault), fault, trace))
    error = {"type": type(fault).__qualname__, "message": str(fault), "traceback": text[-TRACE_CHARACTERS:]}
    return failure(frame, _clean(error), retryable=True)


def _clean(error: dict[str, str]) -> dict[str, str]:
    # Messages may hold surrogates (file names, broken input), which JSON cannot.
    return {name: text.encode("utf-8", "replace").decode() for name, text in error.items()}


def instead_of(outcome: bytes, frame: Frame, refused: Frame) -> bytes | None:
    """Return what to say about a lease whose outcome was refused for good; None: nothing, it is over.

    A lease must not just be forgotten while the server still counts it as held: heartbeats would keep it
    alive.
    """
    if refused.code in ("conflicting_result", "lease_lost", "owned_by_another"):
        return None
    match outcome[: outcome.index(b",")], refused.code:
        case b'{"type":"release"', "not_possible":
            return encode(Cancelled(frame.task_id, frame.lease))
        case b'{"type":"complete"', _:
            return failure(frame, f"the control plane refused the result: {refused.detail}", retryable=False)
        case b'{"type":"cancelled"' | b'{"type":"release"', _:
            return failure(frame, "stopped without being asked to", retryable=True)
        case _:
            pass
    short = failure(frame, f"the control plane refused the error: {refused.detail}", retryable=False)
    return None if outcome == short else short
