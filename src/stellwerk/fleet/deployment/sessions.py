"""Which process speaks for an agent: the one that came last.

A restarted agent comes with a new session and its old one is never seen again. If the old one is seen, two
processes share one identity: it is told so, as long as it keeps coming. Known in memory only; after a restart
of the server the first to come is taken for the newest, and the other for its successor.
"""

from stellwerk.clock import MICROSECONDS

REMEMBERED_INTERVALS = 3
"""How long after its last sign of life a replaced session is remembered."""


class SessionConflict(Exception):
    """Refuse a process that another one has replaced."""


class Sessions:
    """The newest session of each agent, and those that it replaced lately."""

    def __init__(self, interval_s: float) -> None:
        self._remembered_us = int(interval_s * REMEMBERED_INTERVALS * MICROSECONDS)
        self._current: dict[str, str] = {}
        self._replaced: dict[str, dict[str, int]] = {}
        self._conflicts: dict[str, int] = {}

    def take(self, agent_id: str, session: str | None, now_us: int) -> None:
        """Hear from a session (None: it gave none). Raises SessionConflict for a replaced one."""
        if session is None:
            return
        current = self._current.get(agent_id)
        if current == session:
            return
        replaced = self._replaced.get(agent_id, {})
        if replaced.get(session, 0) + self._remembered_us > now_us:
            replaced[session] = self._conflicts[agent_id] = now_us
            raise SessionConflict(f"Another process speaks for the agent {agent_id} now")
        self._current[agent_id] = session
        if current is not None:
            live = {one: at for one, at in replaced.items() if at + self._remembered_us > now_us}
            self._replaced[agent_id] = {**live, current: now_us}

    def conflicting(self, agent_id: str, now_us: int) -> bool:
        """Tell whether a replaced session was seen again lately."""
        at = self._conflicts.get(agent_id)
        return at is not None and at + self._remembered_us > now_us

    def forget(self, agent_id: str) -> None:
        """Drop an agent that was removed."""
        self._current.pop(agent_id, None)
        self._replaced.pop(agent_id, None)
        self._conflicts.pop(agent_id, None)
