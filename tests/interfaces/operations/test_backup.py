"""Backups of a server that works, and what a restored one knows."""

import asyncio
import io
import sqlite3
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stellwerk.app.backup import BackupRefused, Manifest, back_up, restore
from stellwerk.cli.main import app
from support.plane import Plane, running_plane

LANES = 4
MANY = 200


def archived(data_dir: Path, archive: Path) -> Manifest:
    return back_up(archive, data_dir, data_dir / "authority", embedded=True)


class Load:
    """Submits in some lanes until it is told to stop, and notes what was acknowledged."""

    def __init__(self, plane: Plane) -> None:
        self.taken: list[str] = []
        self._plane = plane
        self._stopped = False
        self._enough = asyncio.Event()
        self._lanes = [asyncio.create_task(self._submit(lane)) for lane in range(LANES)]

    async def begun(self) -> list[str]:
        """Wait until many were acknowledged; return them."""
        await asyncio.wait_for(self._enough.wait(), 60)
        return list(self.taken)

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._lanes)

    async def _submit(self, lane: int) -> None:
        number = 0
        while not self._stopped:
            task_id = f"{lane}-{number}"
            await self._plane.main.post("/tasks/submit", {"task_id": task_id, "task_data": {"n": number}})
            self.taken.append(task_id)
            number += 1
            if len(self.taken) >= MANY:
                self._enough.set()


async def test_what_was_acknowledged_before_a_backup_under_load_is_there_after_the_restore(
    tmp_path: Path,
) -> None:
    data, archive = tmp_path / "data", tmp_path / "monday.tar"
    async with running_plane(data) as plane:
        key = await plane.main.post("/keys", {"name": "ci", "scopes": ["tasks:read"]})
        fingerprint = (await plane.main.post("/api/v1/admin/agent-tokens", {}))["caSha256"]
        load = Load(plane)
        before = await load.begun()
        manifest = await asyncio.to_thread(archived, data, archive)
        await load.stop()
        assert len(load.taken) > len(before)
    assert manifest.database
    assert archive.stat().st_mode & 0o777 == 0o600
    restore(archive, tmp_path / "restored")
    async with running_plane(tmp_path / "restored") as plane:
        for task_id in before:
            task = (await plane.main.get(f"/tasks/{task_id}"))["task"]
            assert (task["state"], task["task_id"]) == ("queued", task_id)
        listed = (await plane.main.get("/keys"))["keys"]
        assert [one["key_id"] for one in listed] == [key["key_id"]]
        assert (await plane.main.post("/api/v1/admin/agent-tokens", {}))["caSha256"] == fingerprint
        await plane.main.post("/tasks/submit", {"task_data": {}})


async def test_a_restored_server_opens_what_the_former_one_sealed(tmp_path: Path) -> None:
    data, archive = tmp_path / "data", tmp_path / "a.tar"
    async with running_plane(data) as plane:
        await plane.main.call("PUT", "/api/v1/admin/secrets/password", {"value": "hunter2"})
        archived(data, archive)
    restore(archive, tmp_path / "restored")
    async with running_plane(tmp_path / "restored") as plane:
        assert plane.control.subjects is not None
        assert await plane.control.subjects.secrets.resolve(["password"]) == {"password": "hunter2"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A backup of a server that ran in `data`."""

    async def serve() -> None:
        async with running_plane(tmp_path / "data"):
            archived(tmp_path / "data", tmp_path / "a.tar")

    asyncio.run(serve())
    return tmp_path / "a.tar"


def test_nothing_is_written_over(archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(BackupRefused, match="there already"):
        archived(tmp_path / "data", archive)
    assert archive.read_bytes() == before
    with pytest.raises(BackupRefused, match="not empty"):
        restore(archive, tmp_path / "data")


def test_a_damaged_archive_leaves_nothing_behind(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    middle = len(whole) // 2
    for number, damaged in enumerate((b"", b"no archive", whole[:middle], _flipped(whole, b"secrets.key"))):
        file = tmp_path / f"damaged-{number}.tar"
        file.write_bytes(damaged)
        with pytest.raises(BackupRefused):
            restore(file, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_an_archive_cannot_write_elsewhere(archive: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.tar"
    with tarfile.open(archive) as good, tarfile.open(evil, "w") as bad:
        for member in good:
            stream = good.extractfile(member)
            assert stream is not None
            text = stream.read()
            if member.name == "manifest.json":
                text = text.replace(b'"stellwerk.db"', b'"../stellwerk.x"')
                member.size = len(text)
            bad.addfile(member, io.BytesIO(text))
    with pytest.raises(BackupRefused, match="belongs nowhere"):
        restore(evil, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_the_command_line_backs_up_and_restores(archive: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["backup", str(tmp_path / "b.tar"), "--data-dir", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output
    assert run(app, ["backup", str(tmp_path / "b.tar"), "--data-dir", str(tmp_path / "data")]).exit_code == 1
    done = run(app, ["restore", str(tmp_path / "b.tar"), "--data-dir", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    with sqlite3.connect(tmp_path / "new" / "stellwerk.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert run(app, ["backup", str(tmp_path / "c.tar"), "--data-dir", str(tmp_path / "none")]).exit_code == 1


def _flipped(whole: bytes, name: bytes) -> bytes:
    """Change the first byte of a file's content."""
    at = whole.rindex(b"authority/" + name) + 512
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
