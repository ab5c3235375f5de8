"""TLS of listeners: certificate files, read again when they change.

Theory of operation. The listeners share one context. A task looks at the files every few seconds; changed
files are tried in a context of their own first, so that a half-written pair cannot break the running one,
and then loaded into the shared one: handshakes from then on show the new certificate, open connections stay
as they are.
"""

import asyncio
import contextlib
import ssl
from pathlib import Path

import structlog

LOOK_S = 2.0

log = structlog.get_logger()

Version = tuple[int, int, int]


class Tls:
    """The server side of TLS for any number of listeners."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load the files. Raises OSError (also ssl.SSLError) if they do not fit."""
        self._certificate = certificate
        self._key = key
        self.context = _context(certificate, key)
        self._seen = self._versions()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch the files; again is no error."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="tls-files")

    async def stop(self) -> None:
        """Stop watching; again is no error."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def reload(self) -> bool:
        """Load changed files; tell whether there were any and they fit."""
        versions = self._versions()
        if versions == self._seen:
            return False
        try:
            _context(self._certificate, self._key)
            self.context.load_cert_chain(self._certificate, self._key)
        except OSError as error:
            # Not remembered as seen: the second file of the pair may follow within the same clock tick.
            log.warning("certificate files do not fit, keeping the old ones", error=str(error))
            return False
        self._seen = versions
        log.info("certificate reloaded", certificate=str(self._certificate))
        return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.reload()

    def _versions(self) -> tuple[Version | None, Version | None]:
        return _version(self._certificate), _version(self._key)


def _version(path: Path) -> Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context
