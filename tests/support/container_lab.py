"""A real container engine and image registry for tests, or the reason why there is none.

The engine of DOCKER_HOST is taken if it answers. Else the script `../shared/containers/engine` beside the
repository starts one, with a state folder and a port of its own, and it is taken down at the end.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT.parent / "shared" / "containers" / "engine"


class NoEngine(Exception):
    """There is no container engine to test with; the message says why."""


@dataclass(frozen=True)
class Lab:
    """Where the engine and the registry are."""

    docker_host: str
    registry: str
    user: str
    password: str
    image: str
    """busybox by digest; it lies in the registry only and needs the credentials."""
    started: Path | None
    """The state folder, if the engine is ours to take down."""

    @property
    def credentials(self) -> dict[str, str]:
        """What tasks carry to pull the image."""
        return {"registry.username": self.user, "registry.password": self.password}

    def take_down(self) -> None:
        """Remove what `open_lab` has started; nothing when it found the engine running."""
        if self.started is None:
            return
        environment = os.environ | {"ENGINE_STATE": str(self.started)}
        subprocess.run([str(ENGINE), "down"], env=environment, check=False, timeout=60, capture_output=True)
        shutil.rmtree(self.started, ignore_errors=True)


def open_lab() -> Lab:
    """Find or start an engine; raises NoEngine."""
    host = os.environ.get("DOCKER_HOST", "")
    if host and answers(host):
        if "LAB_IMAGE" not in os.environ:
            raise NoEngine(f"the engine at {host} has no registry beside it (LAB_REGISTRY, LAB_IMAGE …)")
        return _lab(dict(os.environ), None)
    if not ENGINE.is_file():
        raise NoEngine(
            "DOCKER_HOST answers nothing, and there is no ../shared/containers/engine to start one"
        )
    if os.geteuid() != 0:
        raise NoEngine("DOCKER_HOST answers nothing, and starting an engine takes root")
    state = Path(tempfile.mkdtemp(prefix="engine-"))
    environment = os.environ | {"ENGINE_STATE": str(state), "ENGINE_REGISTRY_PORT": str(free_port())}
    done = subprocess.run(
        [str(ENGINE), "up"], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode != 0:
        shutil.rmtree(state, ignore_errors=True)
        raise NoEngine(f"the engine did not start: {done.stderr.strip()[-500:]}")
    exports = dict(re.findall(r"(\w+)=(\S+)", done.stdout))
    return _lab(exports, state)


def answers(host: str) -> bool:
    """Tell whether an engine accepts connections at `unix://…` or `tcp://…`."""
    scheme, _, where = host.partition("://")
    try:
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as tried:
                tried.connect(where)
        else:
            name, _, port = where.partition(":")
            socket.create_connection((name, int(port or 2375)), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def free_port() -> int:
    """Find a TCP port of the loopback that nobody holds now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _lab(exports: dict[str, str], started: Path | None) -> Lab:
    return Lab(
        exports["DOCKER_HOST"],
        exports["LAB_REGISTRY"],
        exports["LAB_REGISTRY_USER"],
        exports["LAB_REGISTRY_PASSWORD"],
        exports["LAB_IMAGE"],
        started,
    )
