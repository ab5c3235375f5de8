"""The agent as a process: its folder, its parts, its signals, its exit status.

SIGTERM and SIGINT drain: nothing new is taken, running tasks get `drain_s`, what is not done then is left as
it stands and adopted by the next process. A second signal ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stellwerk.agent.clock import Clock, SystemClock
from stellwerk.agent.connection import CannotJoin, Connection, apply_log_level
from stellwerk.agent.executors import available
from stellwerk.agent.executors.executor import Executor
from stellwerk.agent.executors.settings import ExecutorSettings
from stellwerk.agent.heartbeat import Vitals
from stellwerk.agent.identity import IdentityStore, IdentityUnusable, check_permissions
from stellwerk.agent.journal import Journal, JournalUnusable
from stellwerk.agent.load import LoadMeter
from stellwerk.agent.readiness import Readiness
from stellwerk.agent.runner import Runner
from stellwerk.agent.settings import AgentSettings
from stellwerk.agent.uplink import Uplink

_log = logging.getLogger("stellwerk.agent")

EXIT_CANNOT_START = 1
EXIT_NOT_ADMITTED = 78
"""EX_CONFIG: a person has to act; starting again changes nothing."""


class CannotStart(Exception):
    """The folder of the agent cannot be used. Says what would help."""


class Agent:
    """One agent's parts, put together. `run` once."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        executors: Mapping[str, Executor] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._executors = executors
        self._stopping = asyncio.Event()
        self.instance_id = uuid.uuid4().hex

    def stop(self) -> None:
        """Begin to drain; `run` returns when that is done."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. Raises CannotStart, CannotJoin (also Revoked)."""
        settings = self._settings
        with locked(settings.data_dir):
            folder = settings.data_dir / "identity"
            store = IdentityStore(folder)
            journal = Journal(settings.data_dir / "tasks.db")
            try:
                store.prepare()
                check_permissions(folder)
                journal.open()
            except (OSError, IdentityUnusable, JournalUnusable) as error:
                raise CannotStart(str(error)) from error
            try:
                await self._with(store, journal)
            finally:
                journal.close()

    async def _with(self, store: IdentityStore, journal: Journal) -> None:
        settings = self._settings
        executors = self._executors
        if executors is None:
            executors = available(settings.executors or ExecutorSettings(settings.data_dir))
        if (wanted := settings.capabilities) is not None:
            executors = {name: one for name, one in executors.items() if one.capability in wanted}
        uplink = Uplink(settings)
        runner = Runner(executors, journal, uplink, settings, self._clock)
        readiness = Readiness(executors)
        vitals = Vitals(settings, self.instance_id, runner, readiness, LoadMeter(settings.data_dir))
        connection = Connection(settings, store, vitals, uplink, self._clock)
        apply_log_level(vitals.config)
        await readiness.probe()
        await runner.recover()
        keeping: asyncio.Future[None] = asyncio.ensure_future(connection.keep())
        loops = [keeping, asyncio.ensure_future(readiness.keep_probing())]
        stopping = asyncio.ensure_future(_until(self._stopping))
        try:
            await asyncio.wait([*loops, stopping], return_when=asyncio.FIRST_COMPLETED)
            for loop in loops:
                if loop.done():
                    loop.result()
            vitals.stopping = True
            connection.hurry_anyway()
            told = await self._drained(runner, keeping)
            _log.info("ending: %s", "every task is told" if told else "the next process goes on")
        finally:
            for loop in (*loops, stopping):
                loop.cancel()
            await asyncio.gather(*loops, stopping, return_exceptions=True)
            await runner.close()
        await connection.leave()

    async def _drained(self, runner: Runner, connection: asyncio.Future[None]) -> bool:
        """Drain within the limit, or until there is nobody left to tell."""
        draining = asyncio.ensure_future(runner.drain(self._settings.drain_s))
        both: set[asyncio.Future[Any]] = {draining, connection}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            draining.cancel()
            return False
        return draining.result()


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def run(settings: AgentSettings) -> int:
    """Run an agent until SIGTERM or SIGINT; return the exit status of the process."""
    try:
        asyncio.run(_run(settings))
    except CannotStart as error:
        _log.critical("%s", error)
        return EXIT_CANNOT_START
    except CannotJoin as error:
        _log.critical("%s", error)
        return EXIT_NOT_ADMITTED
    return 0


async def _run(settings: AgentSettings) -> None:
    agent = Agent(settings)
    seen: list[int] = []

    def on_signal(number: int) -> None:
        if seen:
            # A second one: what runs is left as it stands, which is what adoption is for.
            os._exit(128 + number)
        seen.append(number)
        _log.info("draining for up to %g s; once more ends at once", settings.drain_s)
        agent.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await agent.run()


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the folder for this process alone. Raises CannotStart."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(f"the data directory {data_dir} cannot be used: {error}") from error
    try:
        with contextlib.suppress(OSError):
            data_dir.chmod(0o700)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise CannotStart(f"another agent works in {data_dir}; give each its own --data-dir") from error
    try:
        yield
    finally:
        os.close(descriptor)
