"""The disk of an SQLite server runs full, and has room again."""

import json
import os
import random
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.chaos.faults import Fault, kill_worker
from e2e.chaos.sites import Site

SIZE = "64m"
WHILE_S = (0.5, 2.5)
REFUSED_LIMIT_S = 20.0
CHUNK = b"\0" * 65_536


class NoMount(Exception):
    """Says why there is no small disk."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a small file system, which only root may."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise NoMount(done.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(site: Site, chance: random.Random) -> None:
    """Fill the disk, see that it is said clearly, and make room again."""
    ballast = site.reader.data_dir / "ballast"
    try:
        refused(site, ballast)
        time.sleep(chance.uniform(*WHILE_S))
    finally:
        ballast.unlink(missing_ok=True)


def fill_and_kill(site: Site, chance: random.Random) -> None:
    """Fill the disk and end the server: it has to come back when there is room again."""
    server = site.servers[0]
    ballast = server.data_dir / "ballast"
    try:
        refused(site, ballast)
        server.kill()
        with suppress(OSError):
            server.launch()
        time.sleep(chance.uniform(*WHILE_S))
    finally:
        ballast.unlink(missing_ok=True)
    site.tend()


def refused(site: Site, ballast: Path) -> None:
    """Keep the disk full until a submission is refused and the server says why at `/ready`."""
    until, told = time.monotonic() + REFUSED_LIMIT_S, (0, "")
    with ballast.open("ab", buffering=0) as sink:
        while True:
            with suppress(OSError):
                while True:
                    os.write(sink.fileno(), CHUNK)
            status, headers = submit(site)
            if status == 503:
                assert "retry-after" in headers, headers
                told = ready(site)
                if told[0] == 503 and "disk" in told[1]:
                    return
            assert time.monotonic() < until, f"the disk is full: {status}, and /ready says {told}"


def ready(site: Site) -> tuple[int, str]:
    """Ask whether the server is ready."""
    try:
        with urllib.request.urlopen(site.url + "/ready", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def submit(site: Site) -> tuple[int, dict[str, str]]:
    """Submit something large that nobody can take; return status and headers."""
    task = {"task_type": "filler", "filler": "x" * 200_000}
    body = {"task_data": task, "requirements": {"capabilities": ["nobody-has-this"]}, "deadline": soon()}
    asked = urllib.request.Request(site.url + "/tasks/submit", json.dumps(body).encode(), method="POST")
    asked.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, dict(error.headers)


def soon() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))


FAULTS = (
    Fault("disk full", fill, 2, kills=0),
    Fault("disk full, and the server killed", fill_and_kill),
    Fault("worker", kill_worker),
)
