"""Named, fenced locks: for everything that must run once at a time or survive a restart.

Theory of operation. A lock is a row: holder, fence, and the instant until which it is held. It is taken
when nobody holds it or the time has run out; each taking raises the fence, which never goes back, not even
by a release. Nobody can stop a holder that was paused past its time, so what it writes is guarded instead:
`guard` inside its units of work raises LockLost as soon as somebody else has taken the lock, and the unit
is undone. The same holder may take a lock again that it still holds (after a restart, say); that raises the
fence as well and so cuts off its former self.

Time is an argument. Between replicas clocks may differ by less than the lock's duration; fences keep it
safe beyond.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from stellwerk.database.errors import LockLost
from stellwerk.database.unit import Many, PerEngine, Sql, Unit, UnitMaker

T = TypeVar("T")

_TAKE = """
INSERT INTO locks (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, fence = locks.fence + 1, expires_at = excluded.expires_at
WHERE locks.expires_at <= $4 OR locks.holder = excluded.holder
RETURNING fence"""
_RENEW = """
UPDATE locks SET expires_at = $4 WHERE name = $1 AND holder = $2 AND fence = $3 RETURNING fence"""
_RELEASE = "UPDATE locks SET expires_at = 0 WHERE name = $1 AND holder = $2 AND fence = $3"
_GUARD = PerEngine(
    sqlite="SELECT 1 FROM locks WHERE name = $1 AND holder = $2 AND fence = $3",
    # Shared, so that nobody takes the lock between this look and the commit of what it guards.
    postgres="SELECT 1 FROM locks WHERE name = $1 AND holder = $2 AND fence = $3 FOR SHARE",
)


def forget(names: Iterable[str]) -> Unit[None]:
    """Remove the rows of locks that nobody will take again; part of the unit that ends what they were for."""
    rows = [(name,) for name in names]
    if rows:
        yield Many("DELETE FROM locks WHERE name = $1", rows)


class _Writer(Protocol):
    async def write(self, unit: Unit[T] | UnitMaker[T]) -> T: ...


class NamedLock:
    """One lock as seen by one holder."""

    def __init__(self, database: _Writer, name: str, holder: str) -> None:
        self._database = database
        self.name = name
        self.holder = holder
        self.fence: int | None = None
        """The fence under which it is held; None while it is not (as far as this holder knows)."""

    async def take(self, now_us: int, duration_us: int) -> int | None:
        """Take the lock until `now + duration`; return the new fence, None while somebody else holds it."""
        self.fence = await self._database.write(lambda: self._take(now_us, now_us + duration_us))
        return self.fence

    async def renew(self, now_us: int, duration_us: int) -> bool:
        """Hold on until `now + duration`; False when it was lost (not when only its time ran out)."""
        fence = self.fence
        if fence is None:
            return False
        kept = await self._database.write(lambda: self._renew(fence, now_us + duration_us))
        self.fence = fence if kept else None
        return kept

    async def release(self) -> None:
        """Let go, so that the next holder need not wait for the end of the time."""
        fence, self.fence = self.fence, None
        if fence is not None:
            await self._database.write(lambda: self._release(fence))

    def guard(self) -> Unit[None]:
        """Raise LockLost unless the lock is still held: `yield from lock.guard()` first in a unit of work."""
        fence = self.fence or 0
        rows = yield Sql(_GUARD, (self.name, self.holder, fence))
        if not rows:
            self.fence = None
            raise LockLost(self.name, fence)

    def _take(self, now_us: int, expires_at: int) -> Unit[int | None]:
        rows = yield Sql(_TAKE, (self.name, self.holder, expires_at, now_us))
        return int(rows[0][0]) if rows else None

    def _renew(self, fence: int, expires_at: int) -> Unit[bool]:
        return bool((yield Sql(_RENEW, (self.name, self.holder, fence, expires_at))))

    def _release(self, fence: int) -> Unit[None]:
        yield Sql(_RELEASE, (self.name, self.holder, fence))
