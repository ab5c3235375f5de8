"""Everything that the doctor looks at, in the order in which a start would meet it."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from stellwerk.app.doctor.certificates import examine_certificates
from stellwerk.app.doctor.cluster import examine_cluster
from stellwerk.app.doctor.embedded import examine_embedded
from stellwerk.app.doctor.files import examine_files
from stellwerk.app.doctor.finding import Finding
from stellwerk.app.doctor.ports import examine_ports
from stellwerk.app.doctor.postgres import examine_postgres
from stellwerk.clock import Clock
from stellwerk.settings import Settings


async def examine(settings: Settings, namespaces: Sequence[str], clock: Clock) -> AsyncIterator[Finding]:
    """Look at all; each finding comes when it is known."""
    for finding in await asyncio.to_thread(lambda: list(examine_files(settings))):
        yield finding
    if settings.database.url == "sqlite":
        for finding in await asyncio.to_thread(lambda: _embedded(settings, clock)):
            yield finding
    else:
        async for finding in examine_postgres(settings.database, clock):
            yield finding
    for finding in await asyncio.to_thread(lambda: list(examine_certificates(settings, clock.now_us()))):
        yield finding
    for finding in await asyncio.to_thread(lambda: list(examine_ports(settings))):
        yield finding
    async for finding in examine_cluster(settings, namespaces, clock, dict(os.environ)):
        yield finding


def _embedded(settings: Settings, clock: Clock) -> list[Finding]:
    folder = settings.data_dir
    return list(examine_embedded(folder / "stellwerk.db", clock.now_us(), in_use=is_in_use(folder)))


def is_in_use(data_dir: Path) -> bool:
    """Whether a server holds the folder's lock; a shared lock is tried for a moment and let go."""
    with contextlib.suppress(OSError), (data_dir / "stellwerk.lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
