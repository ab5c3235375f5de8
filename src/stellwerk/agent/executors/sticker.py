"""sticker.write and sticker.read: a small file on the machine that says what was deployed there.

A reader never sees half of a sticker: it is written beside its place, flushed, and renamed into it. Only
files below the allowed folders are touched, and links that lead out of them are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from stellwerk.agent.executors.executor import Failed, Job, Report, Result, within
from stellwerk.agent.executors.parameters import Parameters, faults, read
from stellwerk.agent.executors.references import DIGEST
from stellwerk.agent.executors.settings import ExecutorSettings

SIZE_LIMIT = 64 * 1024
Text = Annotated[str, Meta(max_length=1024)]
StickerPath = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00]+\Z")]


class Sticker(Parameters, frozen=True, kw_only=True):
    """What a sticker says."""

    release: Text
    digest: Annotated[str, Meta(pattern=DIGEST.pattern)]
    deployment_id: Text | None = None
    evidence_hash: Text | None = None
    labels: dict[str, Text] = msgspec.field(default_factory=dict)
    """Whatever else is worth knowing on the machine."""


class WriteParameters(Parameters, frozen=True, kw_only=True):
    """What sticker.write takes."""

    path: StickerPath
    content: Sticker


class ReadParameters(Parameters, frozen=True, kw_only=True):
    """What sticker.read takes."""

    path: StickerPath


class Stickers:
    """Writes and reads stickers below the allowed folders."""

    task_types: tuple[str, ...] = ("sticker.write", "sticker.read")
    capability: str = "sticker"
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {
        "sticker.write": WriteParameters,
        "sticker.read": ReadParameters,
    }

    def __init__(self, settings: ExecutorSettings) -> None:
        self._own = settings.data_dir / "stickers"
        self._roots = (self._own, *settings.sticker_roots)

    async def ready(self) -> str | None:
        """Files can always be written."""
        return None

    def check(self, task_type: str, payload: Mapping[str, Any]) -> list[str]:
        """List every fault of the parameters."""
        found = faults(self.shapes[task_type], payload)
        path = payload.get("path")
        if isinstance(path, str) and path and "\0" not in path:
            try:
                self._place(path)
            except Failed as refused:
                found.append(f"path: {refused.message}")
        return found

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Write or read; both may be repeated."""
        if found := self.check(job.task_type, job.payload):
            raise Failed("parameters.invalid", "; ".join(found), result={"faults": found})
        work = self._write if job.task_type == "sticker.write" else self._read
        # A thread goes on when its task is cancelled; what it does is short and ends whole or not at all.
        try:
            result = await within(job, cancelled, asyncio.to_thread(work, job.payload))
        except OSError as error:
            raise Failed("sticker.io", f"{job.payload['path']}: {error.strerror or error}") from error
        report.progress(100, job.task_type)
        return result

    async def adopt(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result | None:
        """Nothing to carry on: doing it again gives the same."""
        return None

    def _write(self, payload: Mapping[str, Any]) -> Result:
        wanted = read(WriteParameters, payload)
        place = self._place(wanted.path)
        content = {name: value for name, value in msgspec.to_builtins(wanted.content).items() if value}
        raw = (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, raw)
        return {"path": str(place), "content": content, "sha256": hashlib.sha256(raw).hexdigest()}

    def _read(self, payload: Mapping[str, Any]) -> Result:
        place = self._place(read(ReadParameters, payload).path)
        try:
            with place.open("rb") as file:
                raw = file.read(SIZE_LIMIT + 1)
        except FileNotFoundError as error:
            raise Failed("sticker.not_found", f"there is no sticker at {place}") from error
        if len(raw) > SIZE_LIMIT:
            raise Failed("sticker.too_large", f"{place} is larger than {SIZE_LIMIT} bytes: no sticker")
        try:
            content = json.loads(raw)
        except ValueError as error:
            raise Failed("sticker.not_json", f"{place} holds no JSON: {error}") from error
        return {"path": str(place), "content": content, "sha256": hashlib.sha256(raw).hexdigest()}

    def _place(self, path: str) -> Path:
        """Tell the real place of a path; raises Failed when it is outside of the allowed folders."""
        # The last part is not followed: a link there is replaced by a write, and must not lead a read away.
        asked = self._own / path
        place = asked.parent.resolve() / asked.name
        inside = any(place.is_relative_to(root.resolve()) and place != root.resolve() for root in self._roots)
        if not inside or asked.name in {"", ".", ".."} or place.is_symlink():
            raise Failed(
                "sticker.forbidden", f"{path!r} is not below a folder in which this agent keeps stickers"
            )
        return place


def write_whole(place: Path, raw: bytes) -> None:
    """Write a file so that readers, and a crash at any moment, see the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(place)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
