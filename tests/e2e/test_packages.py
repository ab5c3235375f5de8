"""What a release is: packages that build, hold what they need and no more, and work once installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.serving import Server

from stellwerk import __version__
from support.talking import talk

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "stellwerk"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""Without what would be found before what is installed."""


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, into: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into, folder=source)
    return next(into.iterdir())


class Installed:
    """An environment that has the wheel, and of this one's packages all but ours."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.programs = folder / "bin"
        venv.create(folder, with_pip=False)
        # A folder that is named so is searched, and what is installed there for editing is not followed.
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        python = str(self.programs / "python")
        run(
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--no-deps",
            "--no-index",
            wheel,
            folder=folder,
        )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what the source package holds: so nothing is missing there."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", next(folder.iterdir()), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    yield Installed(wheel, tmp_path_factory.mktemp("environment"))


def test_wheel_holds_every_file_of_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {
            name
            for name in archive.namelist()
            if not name.startswith("stellwerk/cli/demonstration/guestbook/")
        }
    known = run("git", "ls-files", SOURCE, folder=ROOT).split() if (ROOT / ".git").exists() else None
    ours = {str(Path(name).relative_to("src")) for name in known} if known else None
    packaged = {name for name in names if name.startswith("stellwerk/")}
    assert ours is None or packaged == ours
    assert "stellwerk/py.typed" in packaged
    told = f"stellwerk-{__version__}.dist-info"
    assert {name for name in names - packaged if not name.startswith(told)} == set()
    assert f"{told}/licenses/LICENSE" in names


def test_installed_program_serves_and_does_a_task(installed: Installed, tmp_path: Path) -> None:
    program = installed.programs / "stellwerk"
    assert run(program, "--version", folder=tmp_path).strip() == __version__
    assert (
        run(installed.programs / "python", "-m", "stellwerk", "--version", folder=tmp_path).strip()
        == __version__
    )
    where = run(
        installed.programs / "python", "-c", "import stellwerk; print(stellwerk.__file__)", folder=tmp_path
    )
    assert Path(where).is_relative_to(installed.programs.parent)
    server = Server(tmp_path / "data")
    server.program, server.environment = program, ENVIRONMENT
    server.start()
    try:
        agent = {"agent_id": "a1", "agent_type": "worker", "capabilities": ["c"]}
        assert talk(server.url, "POST", "/agents/register", agent)[0] in (200, 201)
        status, task, _ = talk(server.url, "POST", "/tasks/submit", {"task_data": {"n": 1}})
        assert status == 200, task
    finally:
        assert server.stop() == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "offered"), [("stellwerk inv", "investigate"), ("stellwerk task ca", "cancel")]
)
def test_words_are_completed_in_bash(typed: str, offered: str, installed: Installed, tmp_path: Path) -> None:
    words = typed.split()
    script = f"""
        PATH={installed.programs}:$PATH
        source <(_STELLWERK_COMPLETE=source_bash stellwerk)
        complete -p stellwerk >/dev/null || exit 1
        COMP_WORDS=({typed})
        COMP_CWORD={len(words) - 1}
        _stellwerk_completion stellwerk
        echo "${{COMPREPLY[@]}}"
    """
    assert offered in run("bash", "-c", script, folder=tmp_path).split()
