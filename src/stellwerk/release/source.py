"""Where an application is read from: its folder, afresh for every use."""

import asyncio
from dataclasses import replace
from pathlib import Path

from stellwerk.release.application.application import Application
from stellwerk.release.application.reading import load


class Source:
    """The folder of an application, or none. What was read last is at hand for those who cannot wait.

    The name is that of the start: under another one nothing that is deployed would be ours any more, so a
    file that is edited meanwhile does not change it.
    """

    def __init__(self, folder: Path | None, name: str | None = None) -> None:
        """`name` None takes the one in the folder's own file."""
        self.folder = folder
        read = self._load(name or "conductor")
        self.name = name or read.name
        self._last = replace(read, name=self.name)

    def last(self) -> Application:
        """Return the application as it was read last."""
        return self._last

    async def read(self) -> Application:
        """Return the application as its folder is now."""
        read = await asyncio.to_thread(self._load, self.name)
        self._last = replace(read, name=self.name)
        return self._last

    def _load(self, name: str) -> Application:
        return Application(name) if self.folder is None else load(self.folder, name=name)
