"""A Redis server of the bench's own: Debian's, from PATH or unpacked into a cache; ended at the end.

Its durability is that of `appendfsync`: `no` keeps nothing on disk at all, `everysec` loses up to a second,
`always` syncs before it answers, as we do.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Literal

from bench.serving import Process

PACKAGES = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2", "libatomic1")
START_LIMIT_S = 20.0
Durability = Literal["no", "everysec", "always"]


class NoRedis(Exception):
    """Says why there is none."""


class Redis:
    """One server on a free port."""

    def __init__(self, folder: Path, durability: Durability) -> None:
        program, environment = _program()
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        kept = ["--appendonly", "no"] if durability == "no" else ["--appendonly", "yes"]
        kept += [] if durability == "no" else ["--appendfsync", durability]
        # No snapshots: they would be a second process beside what is measured.
        command = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._process = Process(
            [*command, "--save", "", *kept], folder / "redis.log", environment=environment
        )
        self._wait()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *words: str) -> int:
        """Send one command that is answered by a number."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            answer = connection.makefile("rb").readline()
        return int(answer[1:]) if answer.startswith(b":") else -1

    def stop(self) -> None:
        self._process.stop()

    def _wait(self) -> None:
        gives_up_at = time.monotonic() + START_LIMIT_S
        while True:
            try:
                self.ask("DBSIZE")
                return
            except OSError:
                if time.monotonic() > gives_up_at or not self._process.alive():
                    raise NoRedis(self._process.log_end(500)) from None
                time.sleep(0.02)


def _program() -> tuple[Path, dict[str, str] | None]:
    """Return the program and the environment that it needs; None is that of this process."""
    if installed := shutil.which("redis-server"):
        return Path(installed), None
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stellwerk-bench" / "redis"
    program = root / "usr" / "bin" / "redis-server"
    if not program.exists():
        _unpack(root)
    libraries = [str(folder) for folder in (root / "usr" / "lib").glob("*-linux-gnu")]
    return program, {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def _unpack(root: Path) -> None:
    """Fetch Debian's packages and unpack them without installing: nothing is started or configured."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise NoRedis("redis-server is not installed, and there is no apt-get to fetch it")
    archives = root.with_name("redis-packages")
    archives.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "download", *PACKAGES], cwd=archives, capture_output=True, text=True, check=False
    )
    if fetched.returncode != 0:
        raise NoRedis(f"redis-server is not installed, and apt-get says: {fetched.stderr[-300:]}")
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(root)], check=True)
