"""No answer leaves the server before the disk has what it promises: the kernel is the witness.

The server runs under `strace`. The log tells, in the order of the kernel: which pages went to the write-
ahead log (`pwrite64`, whose text holds the task's id), when it was synced (`fdatasync` returned), and
when a 200 with the same id went to a socket. For every task the order must be: written, sync begun after
that, sync returned, answered.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.seeds import call
from bench.serving import Server

SUBMITTERS = 8
EACH = 20
CALLS = "pwrite64,fdatasync,fsync,sendto,write,writev,sendmsg"
SENDS = (b"sendto(", b"write(", b"writev(", b"sendmsg(")
"""Whatever the server sends that holds a task's id is an answer: nobody else is told of these tasks."""
TASK = re.compile(rb"durable-\d+-\d+")


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that the kernel saw, in its order."""

    what: str
    """`written`, `sync begun`, `sync done` or `answered`."""
    task_id: str = ""
    thread: str = ""


def why_strace_cannot_run() -> str:
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-f", "-e", "trace=write", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.decode()[-200:]}"


@pytest.mark.slow
def test_no_answer_leaves_before_the_sync_of_its_group(tmp_path: Path) -> None:
    if reason := why_strace_cannot_run():
        pytest.skip(reason)
    log = tmp_path / "strace.log"
    server = Server(tmp_path / "data")
    server.prefix = ("strace", "-f", "-qq", "-s", "9000", "-o", str(log), "-e", f"trace={CALLS}")
    server.start()
    try:
        call(server, "POST", "/agents/register", {"agent_id": "tracer", "agent_type": "worker"})
        threads = [threading.Thread(target=work, args=(server, number)) for number in range(SUBMITTERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        end(server)
    expected = {f"durable-{number}-{turn}" for number in range(SUBMITTERS) for turn in range(EACH)}
    answered = answers_with_their_proof(list(moments(log)))
    assert {task_id for task_id, _ in answered} == expected
    unproved = [task_id for task_id, proved in answered if not proved]
    assert not unproved, f"{len(unproved)} of {len(answered)} answers left before their sync: {unproved[:5]}"


def end(server: Server) -> None:
    """End the traced server by its own pid; the tracer ends with it."""
    tracer = server.running
    children = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    tracer.popen.wait(20)


def work(server: Server, number: int) -> None:
    for turn in range(EACH):
        body = {"task_id": f"durable-{number}-{turn}", "task_data": {"task_type": "trace"}}
        assert call(server, "POST", "/tasks/submit", body)["task_id"] == body["task_id"]


def moments(log: Path) -> Iterator[Moment]:
    """Read the log.

    A call that another thread interrupted in the log counts when it *began* for what it sends
    and when it *returned* for a sync.
    """
    for raw in log.read_bytes().splitlines():
        thread, _, rest = raw.partition(b" ")
        rest = rest.strip()
        name = thread.decode()
        if rest.startswith((b"fdatasync(", b"fsync(")):
            yield Moment("sync begun", thread=name)
            if b"= 0" in rest:
                yield Moment("sync done", thread=name)
        elif rest.startswith((b"<... fdatasync resumed>", b"<... fsync resumed>")):
            yield Moment("sync done", thread=name)
        elif rest.startswith(b"pwrite64("):
            yield from (Moment("written", task_id.decode()) for task_id in set(TASK.findall(rest)))
        elif rest.startswith(SENDS):
            yield from (Moment("answered", task_id.decode()) for task_id in set(TASK.findall(rest)))


def answers_with_their_proof(seen: list[Moment]) -> list[tuple[str, bool]]:
    """Return every answered task, and whether a sync begun after its pages were written was done by then."""
    written: set[str] = set()
    synced: set[str] = set()
    pending: dict[str, set[str]] = {}
    answered = []
    for moment in seen:
        match moment.what:
            case "written":
                written.add(moment.task_id)
            case "sync begun":
                pending[moment.thread] = set(written)
            case "sync done":
                synced |= pending.pop(moment.thread, set())
            case "answered":
                answered.append((moment.task_id, moment.task_id in synced))
            case unknown:
                raise ValueError(unknown)
    return answered


def test_an_answer_before_the_sync_is_found() -> None:
    early = [
        Moment("written", "a"),
        Moment("sync begun", thread="1"),
        Moment("answered", "a"),
        Moment("sync done"),
    ]
    other = [Moment("sync begun", thread="1"), Moment("written", "a"), Moment("sync done", thread="1")]
    good = [Moment("written", "a"), Moment("sync begun", thread="1"), Moment("sync done", thread="1")]
    assert answers_with_their_proof(early) == [("a", False)]
    assert answers_with_their_proof([*other, Moment("answered", "a")]) == [("a", False)]
    assert answers_with_their_proof([*good, Moment("answered", "a")]) == [("a", True)]
