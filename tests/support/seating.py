"""Seats, tasks and channels for tests of balancing and dispatch."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.choosing import Choice
from stellwerk.work.matching import Attributes
from stellwerk.work.seats import Seat, Seats
from stellwerk.work.task import Assignment, Holder, Waiting


@dataclass(eq=False)
class RecordingChannel:
    """Keeps what is delivered."""

    alive: bool = True
    delivered: list[Assignment] = field(default_factory=list)
    cancelled: list[tuple[str, int]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def deliver(self, assignments: Sequence[Assignment]) -> None:
        self.delivered += assignments
        self.changed.set()

    async def receives(self, count: int) -> list[str]:
        """Return the tasks that were delivered, once there are so many of them."""
        async with asyncio.timeout(10):
            while len(self.delivered) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.tasks

    def cancel(self, task_id: str, fence: int, reason: str) -> None:
        self.cancelled.append((task_id, fence))

    @property
    def tasks(self) -> list[str]:
        return [assignment.task_id for assignment in self.delivered]


def seat(name: str = "a", *capabilities: str, **wishes: object) -> Seat:
    """Return a seat of group `name`; other arguments are those of Seat and of Attributes."""
    instance = str(wishes.pop("instance", "default"))
    attributes = Attributes(
        capabilities=frozenset(capabilities),
        **{key: wishes.pop(key) for key in ("kind", "services", "labels", "health") if key in wishes},  # type: ignore[arg-type]
    )
    wishes.setdefault("capacity", 1)
    wishes.setdefault("channel", RecordingChannel())
    return Seat(Holder(name, instance), attributes, **wishes)  # type: ignore[arg-type]


def waiting(task_id: str = "t", queue_key: str = "any", rank: int = 0, *preferred: str) -> Waiting:
    form_id, _, group = queue_key.partition("@")
    return Waiting(task_id, queue_key, form_id, group or None, 10, rank, 0, "", preferred)


def assignment(task_id: str, holder: Holder, fence: int = 1) -> Assignment:
    return Assignment(task_id, 1, fence, holder, "", "{}", "{}", 10, "normal", True, 0, None, None, 0)


def candidate(name: str = "a", number: int = 0, **figures: object) -> Candidate:
    """Return a candidate with ten places; other arguments set its figures."""
    made = Candidate(Holder(name), 10, number)
    for figure, value in figures.items():
        setattr(made, figure, value)
    return made


def lease(seats: Seats, *tasks: Waiting) -> list[Holder | None]:
    """Choose for these tasks as one lease unit would, and keep what was chosen."""
    rosters = {
        task.queue_key: roster for task in tasks if (roster := seats.roster_of(task.queue_key)) is not None
    }
    choice: Choice = seats.borrow(rosters)
    chosen = [choice.choose(task) if task.queue_key in rosters else None for task in tasks]
    seats.give_back(
        choice,
        [assignment(task.task_id, holder) for task, holder in zip(tasks, chosen, strict=True) if holder],
    )
    return chosen


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that only the database or another replica knows, within a limit."""
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 (nobody tells of it)
            await asyncio.sleep(0.002)
