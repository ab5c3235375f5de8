"""The demo and the examples, as a newcomer runs them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.serving import Process, Server

ROOT = Path(__file__).parent.parent.parent
PROGRAM = str(Path(sys.executable).parent / "stellwerk")


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in str((entry / "cwd").readlink()):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_demo_ends_with_nothing_lost_and_nothing_left(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [PROGRAM, "demo", "--tasks", "400"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Nothing was lost." in run.stdout
    assert "No call failed of " in run.stdout
    assert "SIGKILL" in run.stdout
    assert "stellwerk-demo/Deployment/frontend: ImagePullBackOff" in run.stdout
    assert "The broken image was found, told, and taken back with approval." in run.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_demo_that_is_told_to_end_cleans_up(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    demo = Process(
        [PROGRAM, "demo", "--tasks", "100000"], tmp_path.parent / "demo.log", environment=environment
    )
    give_up_at = time.monotonic() + 60
    while "workers joined" not in demo.log_end():
        assert time.monotonic() < give_up_at, demo.log_end()
        time.sleep(0.05)
    demo.popen.send_signal(signal.SIGTERM)
    assert demo.popen.wait(40) == 130
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_examples_work_together(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    environment = os.environ | {"STELLWERK_SERVER": server.url, "PYTHONPATH": str(ROOT)}
    command = [PROGRAM, "worker", "examples/word_worker:app", "--agent-id", "words-1"]
    worker = Process(command, tmp_path / "worker.log", environment=environment)
    try:
        run = subprocess.run(
            [sys.executable, "examples/word_client.py"],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
            timeout=60,
        )
        assert run.returncode == 0, run.stdout + run.stderr + worker.log_end()
        assert "task.succeeded" in run.stdout
        assert "as expected: task" in run.stdout
    finally:
        assert worker.stop() == 0
        server.stop()
