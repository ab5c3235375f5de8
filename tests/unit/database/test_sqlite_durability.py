"""Nothing is answered before it is on the disk: proved by the system calls of a process that answers."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRITES = 60

# Whole pages are shown, so that what a write carries can be told from it.
_STRACE = ("strace", "-f", "-y", "-s", "9000", "-e", "trace=pwrite64,write,fdatasync,fsync", "-o")

_ANSWERING = f"""
import asyncio, os, sys
from pathlib import Path
from support.database import sqlite_database
from support.units import put

async def main():
    async with sqlite_database(Path(sys.argv[1])) as database:
        async def one(number):
            await asyncio.sleep(number % 7 / 1000)
            await database.write(put(f"mark-{{number}}-"))
            os.write(1, b"answer-%d-" % number)
        await asyncio.gather(*(one(number) for number in range({WRITES})))

asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_answer_comes_before_the_sync_of_its_group(tmp_path: Path) -> None:
    lines = _trace(tmp_path)
    assert sum("answer-" in line for line in lines) >= WRITES
    for number in range(WRITES):
        written = next(i for i, line in enumerate(lines) if "-wal>" in line and f"mark-{number}-" in line)
        answered = next(i for i, line in enumerate(lines) if f"answer-{number}-" in line)
        assert _synced_between(lines, written, answered), f"write {number} was answered before it was synced"


def _trace(tmp_path: Path) -> list[str]:
    traced = subprocess.run(
        [*_STRACE, str(tmp_path / "trace"), sys.executable, "-c", _ANSWERING, str(tmp_path / "data")],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    if "PTRACE" in traced.stderr or "ptrace" in traced.stderr:
        pytest.skip("strace is not allowed to trace here")
    assert traced.returncode == 0, traced.stderr
    return (tmp_path / "trace").read_text(errors="replace").splitlines()


def _synced_between(lines: list[str], written: int, answered: int) -> bool:
    """Whether a sync of the WAL began after the one line and succeeded before the other."""
    begun = set()
    for line in lines[written + 1 : answered]:
        thread = line.split(maxsplit=1)[0]
        if re.search(r"f(data)?sync\(\d+<[^>]*-wal>", line):
            if line.endswith("<unfinished ...>"):
                begun.add(thread)
            elif line.endswith("= 0"):
                return True
        elif re.search(r"<\.\.\. f(data)?sync resumed>", line) and thread in begun and line.endswith("= 0"):
            return True
    return False
