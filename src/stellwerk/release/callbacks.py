"""What the program that runs the server wants to know of operations, and may refuse.

What is asked before an operation is recorded may veto it. What is told after it has ended cannot change
anything any more: it is told once, by the process that carried the operation out, and not again if that dies.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from stellwerk.release.operations.record import Operation, OperationKind, Request

Before = Callable[[Request], Awaitable[object]]
After = Callable[[Operation], Awaitable[object]]

log = structlog.get_logger(__name__)


class Vetoed(Exception):
    """The program does not want an operation; the message says why. Nothing was recorded or changed."""


@dataclass(slots=True)
class Callbacks:
    """Functions with the kinds of operations that they are for."""

    before: list[tuple[frozenset[OperationKind], Before]] = field(default_factory=list)
    after: list[tuple[frozenset[OperationKind], After]] = field(default_factory=list)

    async def ask(self, request: Request) -> None:
        """Ask about an operation that somebody wants. Raises Vetoed, and whatever a function raises."""
        for kinds, function in self.before:
            if request.kind in kinds:
                await function(request)

    async def tell(self, operation: Operation) -> None:
        """Tell of an operation that has ended; the failure of one function is no other's."""
        for kinds, function in self.after:
            if operation.kind in kinds:
                try:
                    await function(operation)
                except Exception:
                    log.exception("a function that is told of operations failed", operation=operation.id)
