"""A real Kubernetes cluster for tests, or the reason why there is none.

The cluster of KUBECONFIG is taken. Else the script `../shared/kube/cluster` beside the repository starts
one, which is taken down when the last test session that uses it has ended. An empty KUBECONFIG means that
none is wanted.
"""

import fcntl
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT.parent / "shared" / "kube" / "cluster"
VARIABLE = "TEST_KUBECONFIG"
"""Where KUBECONFIG is kept during tests: a server that a test starts must not find it by accident."""
UP_S = 240.0
"""Installing its parts from packages included."""


class NoCluster(Exception):
    """There is no cluster to test with; the message says why."""


@dataclass
class KubeLab:
    """Where the cluster is."""

    kubeconfig: Path
    in_use: IO[str] | None = None
    """Locked as long as we use a cluster that tests started."""

    def leave(self) -> None:
        """Take the cluster down if tests started it and no other session uses it."""
        if self.in_use is None:
            return
        try:
            fcntl.flock(self.in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # the session that uses it is the one to take it down
        if _mark().exists():
            _mark().unlink()
            _run("down")
        self.in_use.close()


def hide_selected() -> None:
    """Move KUBECONFIG to where only tests look for it."""
    if "KUBECONFIG" in os.environ:
        os.environ[VARIABLE] = os.environ.pop("KUBECONFIG")


def open_kube_lab() -> KubeLab:
    """Find the cluster, or start one. Raises NoCluster."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        if not named:
            raise NoCluster("KUBECONFIG is empty")
        return KubeLab(Path(named))
    if not SCRIPT.exists():
        raise NoCluster("neither KUBECONFIG nor ../shared/kube/cluster is there")
    in_use = Path(tempfile.gettempdir(), "stellwerk-kube.lock").open("a")  # noqa: SIM115  locked until we leave
    fcntl.flock(in_use, fcntl.LOCK_EX)
    if "apiserver running" in _run("status"):
        kubeconfig = _run("kubeconfig")
    else:
        kubeconfig = _run("up")
        _mark().touch()
    fcntl.flock(in_use, fcntl.LOCK_SH)
    return KubeLab(Path(kubeconfig.strip().splitlines()[-1]), in_use)


def _mark() -> Path:
    """Return the file that says that tests started the cluster; it lies in its state, and goes with it."""
    return Path(os.environ.get("KUBE_STATE", "/tmp/kube"), "started-by-tests")


def _run(command: str) -> str:
    try:
        done = subprocess.run(
            [SCRIPT, command], capture_output=True, text=True, timeout=UP_S, check=command == "up"
        )
    except subprocess.CalledProcessError as error:
        raise NoCluster(f"the cluster does not start: {error.stderr.strip()[-300:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCluster(f"the cluster does not start: {error}") from error
    return done.stdout
