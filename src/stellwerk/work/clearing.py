"""Cancel everything that waits in a priority class, in steps, so that others get their turn in between."""

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.work.cancelling import clear_some
from stellwerk.work.effects import Effects
from stellwerk.work.lease import Terms


async def clear_queue(
    database: Database, effects: Effects, clock: Clock, terms: Terms, priority_class: str
) -> int:
    """Cancel what waits now in the class (its lower-case name); return how many. What comes later stays."""
    until = clock.now_us()
    position: tuple[int, str] | None = (0, "")
    cleared = 0
    while position is not None:
        here, now_us = position, clock.now_us()
        changes, position = await database.write(
            lambda here=here, now_us=now_us: clear_some(priority_class, here, until, now_us, terms),  # type: ignore[misc]
            aside=True,
        )
        effects.changed(changes)
        cleared += len(changes)
    return cleared
