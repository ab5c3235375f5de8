"""The choosing of one lease unit: what is chosen counts at once, so the next task meets the new figures."""

from collections.abc import Callable, Iterable, Mapping

from stellwerk.work.balancing.strategy import Roster
from stellwerk.work.rosters import Place, Rosters
from stellwerk.work.task import Assignment, Holder, Waiting


class Choice:
    """The choosing of one lease unit, maybe on another thread: nobody else touches the figures meanwhile."""

    def __init__(
        self, rosters: Rosters, of_queue: Mapping[str, Roster], next_number: Callable[[], int]
    ) -> None:
        self._rosters = rosters
        self._of_queue = of_queue
        self._next_number = next_number
        self._chosen: dict[str, Place] = {}
        self.reached: dict[str, int] = {}
        """Rank of the last task that was looked at, by queue."""
        self.refused: dict[str, int] = {}
        """Rank of the first task that nobody had room for, by queue."""

    def choose(self, waiting: Waiting) -> Holder | None:
        """Choose who gets the task and count it at once; None if nobody has room."""
        roster = self._of_queue[waiting.queue_key]
        self.reached[waiting.queue_key] = waiting.rank_at
        candidate = roster.pick(waiting)
        place = None if candidate is None else self._rosters.get(candidate.holder)
        if candidate is None or place is None:
            self.refused.setdefault(waiting.queue_key, waiting.rank_at)
            return None
        candidate.active += 1
        candidate.picked = self._next_number()
        roster.took(candidate)
        place.touch()
        self._chosen[waiting.task_id] = place
        return candidate.holder

    def restart(self) -> None:
        """Forget what was chosen: the unit is run afresh."""
        self.settle(())
        self.reached.clear()
        self.refused.clear()

    def settle(self, leased: Iterable[Assignment]) -> list[Place]:
        """Turn what was leased into leases held, undo the rest, and return whose."""
        for assignment in leased:
            place = self._chosen.pop(assignment.task_id)
            if assignment.task_id in place.held:
                place.candidate.active -= 1
            place.held[assignment.task_id] = assignment.fence
        undone = list(self._chosen.values())
        for place in undone:
            place.candidate.active -= 1
            place.touch()
        self._chosen.clear()
        return undone
