"""Starts, measures and ends the processes under test: the real server and the bare ceiling.

Only processes that were started here are ended, each by its own pid.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

READY_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0


class NotReady(RuntimeError):
    """The process ended or stayed silent before it was ready; the text holds the end of its log."""


class Process:
    """One started server process. `output` receives its stdout and stderr, appended."""

    def __init__(
        self,
        command: Sequence[str],
        output: Path,
        keep: Sequence[int] = (),
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.output = output
        with output.open("ab") as sink:
            self.started_at = time.perf_counter()
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(keep),
                env=environment,
                cwd=cwd,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        if self.alive():
            self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self) -> int:
        """End it gracefully, by force after a limit. Returns the exit code."""
        if self.alive():
            self.popen.terminate()
        try:
            return self.popen.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.popen.returncode

    def rss_bytes(self) -> int:
        """Resident memory now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise NotReady("no VmRSS: the process has ended")

    def cpu_s(self) -> float:
        """Processor seconds used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_end(self, characters: int = 4_000) -> str:
        return self.output.read_text(errors="replace")[-characters:]


class Server:
    """One `stellwerk serve` on a data directory; may be killed and started again on the same port."""

    def __init__(
        self, data_dir: Path, *, settings: dict[str, object] | None = None, database: str | None = None
    ) -> None:
        self.data_dir = data_dir
        self.settings = settings or {}
        self.database = database
        self.port = 0
        self.ready_s = 0.0
        self.process: Process | None = None
        self.prefix: tuple[str, ...] = ()
        """Words before the command, as `strace …`."""
        self.environment: dict[str, str] | None = None
        """Of the process; None is that of this one."""
        self.program = Path(sys.executable).parent / "stellwerk"

    @property
    def running(self) -> Process:
        assert self.process is not None, "the server was not started"
        return self.process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, ready_file: Path) -> list[str]:
        command = [*self.prefix, str(self.program), "serve", "--port", str(self.port), "--no-compat-ports"]
        command += ["--data-dir", str(self.data_dir), "--ready-file", str(ready_file)]
        if self.database is not None:
            command += ["--database", self.database]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        return command

    def launch(self) -> "Server":
        """Start the process without waiting for it."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.ready_file.unlink(missing_ok=True)
        self.process = Process(
            self.command(self.ready_file), self.data_dir / "server.log", environment=self.environment
        )
        return self

    @property
    def ready_file(self) -> Path:
        return self.data_dir / "ready.json"

    def start(self, limit_s: float = READY_LIMIT_S) -> "Server":
        """Start the process and wait for its ready file. The first start takes a free port, later ones keep
        it.
        """
        self.launch()
        return self.wait_ready(limit_s)

    def wait_ready(self, limit_s: float = READY_LIMIT_S) -> "Server":
        """Wait for the ready file of the launched process. Raise NotReady if it ends or stays silent."""
        while not self.look_ready():
            if not self.running.alive() or time.perf_counter() - self.running.started_at > limit_s:
                raise NotReady(f"server not ready: {self.running.log_end()}")
            time.sleep(0.002)
        return self

    def look_ready(self) -> bool:
        """Whether the ready file is there and whole; then port and start time are known."""
        try:
            ready = msgspec.json.decode(self.ready_file.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return False
        self.port = urlsplit(ready["url"]).port or 0
        self.ready_s = time.perf_counter() - self.running.started_at
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def stop(self) -> int:
        return 0 if self.process is None else self.process.stop()


class SecureServer(Server):
    """One with a TLS listener beside the plain one."""

    tls_port = 0

    @property
    def roots(self) -> Path:
        """The file that verifies it."""
        return self.data_dir / "authority" / "servers" / "root-1.pem"

    def command(self, ready_file: Path) -> list[str]:
        return [*super().command(ready_file), "--tls-port", str(self.tls_port)]

    def look_ready(self) -> bool:
        if not super().look_ready():
            return False
        ready = msgspec.json.decode(self.ready_file.read_bytes())
        self.tls_port = urlsplit(ready["listeners"]["tls"]).port or 0
        return True


class Ceiling:
    """The bare ASGI endpoint on a free port; over TLS with a file of key and certificate."""

    def __init__(self, folder: Path, pair: Path | None = None) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        os.set_inheritable(listener.fileno(), True)
        self.port: int = listener.getsockname()[1]
        command = [sys.executable, "-m", "bench.ceiling", str(listener.fileno())]
        command += [] if pair is None else [str(pair)]
        self.process = Process(command, folder / "ceiling.log", keep=(listener.fileno(),))
        listener.close()

    def stop(self) -> None:
        self.process.stop()
