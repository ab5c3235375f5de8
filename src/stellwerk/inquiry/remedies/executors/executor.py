"""What all executors have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stellwerk.inquiry.model import ObjectRef
from stellwerk.trust.scopes import Scope


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be carried out. The same id is the same order, however often it is given."""

    id: str
    executor: str
    target: ObjectRef
    parameters: Mapping[str, Any]
    by: str
    """Id of the principal that asked for it; that it may was checked."""
    why: str
    asked_at: int
    """Microseconds UTC."""


@dataclass(frozen=True, slots=True)
class Performed:
    """What was done."""

    message: str
    operation: str | None = None
    """The operation, or task, that did it."""
    worked: bool = True


class Executor(Protocol):
    """Carries out some kinds of orders.

    Methods raise CannotRemedy, DatabaseUnavailable and what a cluster raises.
    """

    requires: Scope | None
    """A right that who asks must have beside that to carry out remedies."""

    async def preview(self, order: Order) -> tuple[str, ...]:
        """Say what would be done, a line for each thing; changes nothing."""
        ...

    async def perform(self, order: Order) -> Performed:
        """Do it, once under the order's id: what was done already is not done again."""
        ...
