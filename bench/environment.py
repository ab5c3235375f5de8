"""Environments with packages that the product does not have: published SDKs, and what it is compared with.

Each is made once for a lock file, beside the product's own environment, and found again afterwards. Runs
beside one another wait for the one that makes it.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

INSTALL_S = 600


class NotInstalled(Exception):
    """The environment could not be made; the message says what the installer said."""


def python_with(lock_file: Path, name: str) -> Path:
    """Return the interpreter of an environment with what the lock file names. Raises NotInstalled."""
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()[:12]
    home = Path(sys.prefix) / f"{name}-{digest}"
    python = home / "bin" / "python"
    done = home / "installed"
    if done.exists():
        return python
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            venv.create(home, with_pip=False, symlinks=True)
            _install(python, lock_file)
            done.touch()
    return python


def _install(python: Path, lock_file: Path) -> None:
    # uv takes seconds where pip takes a minute; both read the index that this machine is set up with.
    uv = Path(sys.executable).parent / "uv"
    here = [str(uv), "pip", "install", "--python", str(python)]
    there = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    said = ""
    for command in (here, there):
        try:
            run = subprocess.run(
                [*command, "--quiet", "--require-hashes", "--requirement", str(lock_file)],
                check=False,
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said += f"{command[0]}: {error}\n"
            continue
        if run.returncode == 0:
            return
        said += run.stderr[-2_000:]
    raise NotInstalled(said)
