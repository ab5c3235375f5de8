"""A worker: functions by task type, run for a control plane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from stellwerk.sdk.context import Context
from stellwerk.sdk.options import Delivery, WorkerOptions

Function = Callable[[Context], Any] | Callable[[Context], Awaitable[Any]]
F = TypeVar("F", bound=Callable[[Context], Any])


class Worker:
    """Functions by task type, and how to run them."""

    def __init__(
        self,
        server: str | None = None,
        *,
        capabilities: Sequence[str] = (),
        concurrency: int = 10,
        agent_id: str | None = None,
        agent_type: str = "worker",
        labels: Mapping[str, str] | None = None,
        delivery: Delivery = "auto",
        api_key: str | None = None,
        options: WorkerOptions | None = None,
    ) -> None:
        self.options = options or WorkerOptions(
            server=server,
            api_key=api_key,
            agent_id=agent_id,
            agent_type=agent_type,
            capabilities=tuple(capabilities),
            labels=dict(labels or {}),
            concurrency=concurrency,
            delivery=delivery,
        )

    def task(self, task_type: str | None = None) -> Callable[[F], F]:
        """Register a function for a task type.

        None means its own name, `*` every type that has no function.
        """
        raise NotImplementedError

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then drain.

        Raises `NotAllowed`, `Conflict` when the control plane refuses it.
        """
        raise NotImplementedError

    async def serve(self) -> None:
        """Work until `stop` is called, then drain; for programs with an event loop of their own."""
        raise NotImplementedError

    def stop(self) -> None:
        """Take nothing new, finish what runs within `drain_s`, and end.

        A second call gives everything back at once.
        """
        raise NotImplementedError
