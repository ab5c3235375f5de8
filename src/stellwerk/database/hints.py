"""Wake-ups inside one process: channels, listeners, and the joining of many wake-ups into one."""

import asyncio
from collections.abc import Callable


class Hints:
    """Calls a channel's listeners back once per turn of the event loop, however often it was notified."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._due: set[str] = set()

    def listen(self, channel: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Add a listener and return what removes it."""
        # A fresh list each time: one that is being walked through must not change.
        self._listeners[channel] = [*self._listeners.get(channel, ()), callback]

        def unlisten() -> None:
            rest = [other for other in self._listeners.get(channel, ()) if other is not callback]
            self._listeners[channel] = rest

        return unlisten

    def wake(self, channel: str) -> None:
        """Call the listeners of the channel back soon."""
        if channel not in self._due and self._listeners.get(channel):
            self._due.add(channel)
            asyncio.get_running_loop().call_soon(self._call, channel)

    def wake_all(self) -> None:
        """Call everybody back: some hints may have been lost."""
        for channel in self._listeners:
            self.wake(channel)

    def _call(self, channel: str) -> None:
        self._due.discard(channel)
        for callback in self._listeners.get(channel, ()):
            callback()
