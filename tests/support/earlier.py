"""Earlier releases, taken from the history of this checkout and run from their own sources."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Release:
    """A commit that was handed out as a release, and what its database has."""

    name: str
    commit: str


NEIGHBOUR = Release("the last one", "69e3857e67cd11dffd91145ab37551ea4b68330b")
"""The release before this one: servers of both run side by side."""
OLDER = Release("an older one", "37fea6fe6737e1f3b3ce8f94bbbb1530d42a17f5")
"""What it wrote is still opened."""
RELEASES = [NEIGHBOUR, OLDER]


def sources_of(release: Release, folder: Path) -> Path:
    """Write the sources of a release into a new folder, and return what its PYTHONPATH is.

    Skips the test in a checkout whose history does not go back so far.
    """
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", release.commit, "src"],
        capture_output=True,
        check=False,
    )
    if packed.returncode != 0:
        pytest.skip(f"no {release.name} ({release.commit[:10]}) in the history of this checkout")
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    # The installed program of this release begins there; earlier ones began in `main`.
    entry = folder / "src" / "stellwerk" / "cli" / "entry.py"
    if not entry.exists():
        entry.write_text("from stellwerk.cli.main import run as run\n")
    return folder / "src"


def environment_of(sources: Path) -> dict[str, str]:
    """Return an environment in which programs are those of these sources."""
    return {**os.environ, "PYTHONPATH": str(sources)}
