"""Append-only files that survive `kill -9`: what was acknowledged, and what a task's function really did.

One line an entry, written by one `write` to a descriptor opened with O_APPEND and synced before the
caller goes on, so an entry is there in full if and only if the caller got past it.
"""

import os
from pathlib import Path
from typing import Literal

import msgspec


class Acknowledged(msgspec.Struct, frozen=True):
    """A submission that the server answered with 2xx. `key` names the intent: one intent, one task."""

    key: str
    task_id: str
    repeatable: bool


class Execution(msgspec.Struct, frozen=True):
    """A step of one run of a task's function. `nonce` is drawn for every run and is part of its result."""

    what: Literal["begin", "end", "settled"]
    """`settled`: the server acknowledged the result of this run as durable."""
    task_id: str
    attempt: int
    nonce: str
    worker: str


class Ledger:
    """One writer's end of a file."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    def write(self, entry: Acknowledged | Execution) -> None:
        """Append one entry and sync it."""
        line = msgspec.json.encode(entry) + b"\n"
        if os.write(self.descriptor, line) != len(line):
            raise OSError("the ledger took a part of a line only")
        os.fsync(self.descriptor)


def read_acknowledged(path: Path) -> list[Acknowledged]:
    return [msgspec.json.decode(line, type=Acknowledged) for line in path.read_bytes().splitlines()]


def read_executions(path: Path) -> list[Execution]:
    return [msgspec.json.decode(line, type=Execution) for line in path.read_bytes().splitlines()]
