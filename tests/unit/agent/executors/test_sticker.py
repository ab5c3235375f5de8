"""Stickers: written whole, below the allowed folders, the same twice."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from stellwerk.agent.executors.executor import Failed, Job, Result
from stellwerk.agent.executors.settings import ExecutorSettings
from stellwerk.agent.executors.sticker import Stickers

DIGEST = "sha256:" + "a" * 64
CONTENT = {"release": "v1", "digest": DIGEST, "deploymentId": "d1"}


class Silent:
    """A report that nobody reads."""

    def progress(self, percent: int, message: str = "") -> None: ...

    def log(self, level: str, message: str) -> None: ...


async def run(folder: Path, task_type: str, payload: dict[str, Any], *roots: Path) -> Result:
    """Run one task."""
    stickers = Stickers(ExecutorSettings(data_dir=folder / "data", sticker_roots=roots))
    return await stickers.run(Job("t", 1, task_type, payload), Silent(), asyncio.Event())


async def test_what_is_written_is_read_with_its_hash(tmp_path: Path) -> None:
    written = await run(tmp_path, "sticker.write", {"path": "shop/web.json", "content": CONTENT})
    found = await run(tmp_path, "sticker.read", {"path": "shop/web.json"})
    assert found == written
    assert found["content"] == CONTENT
    place = tmp_path / "data" / "stickers" / "shop" / "web.json"
    assert hashlib.sha256(place.read_bytes()).hexdigest() == found["sha256"]
    assert [one.name for one in place.parent.iterdir()] == ["web.json"]
    assert place.stat().st_mode & 0o777 == 0o644


async def test_writing_again_replaces_the_sticker(tmp_path: Path) -> None:
    for release in ("v1", "v2", "v2"):
        await run(tmp_path, "sticker.write", {"path": "web", "content": CONTENT | {"release": release}})
    assert (await run(tmp_path, "sticker.read", {"path": "web"}))["content"]["release"] == "v2"


async def test_a_further_folder_may_be_allowed(tmp_path: Path) -> None:
    place = tmp_path / "app" / ".sticker"
    await run(tmp_path, "sticker.write", {"path": str(place), "content": CONTENT}, tmp_path / "app")
    assert place.is_file()


async def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    stickers = tmp_path / "data" / "stickers"
    stickers.mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text('{"a": 1}')
    (stickers / "folder").symlink_to(tmp_path / "secret")
    (stickers / "file").symlink_to(tmp_path / "secret" / "file")
    for task_type, path in (
        ("sticker.read", "file"),
        ("sticker.read", "folder/file"),
        ("sticker.write", "folder/x"),
    ):
        payload: dict[str, Any] = {"path": path}
        if task_type == "sticker.write":
            payload["content"] = CONTENT
        with pytest.raises(Failed) as end:
            await run(tmp_path, task_type, payload)
        assert end.value.error_type == "parameters.invalid"
    assert [one.name for one in (tmp_path / "secret").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("raw", "error_type"),
    [(None, "sticker.not_found"), (b"no json", "sticker.not_json"), (b" " * 70_000, "sticker.too_large")],
)
async def test_what_is_no_sticker_is_told(tmp_path: Path, raw: bytes | None, error_type: str) -> None:
    if raw is not None:
        (tmp_path / "data" / "stickers").mkdir(parents=True)
        (tmp_path / "data" / "stickers" / "x").write_bytes(raw)
    with pytest.raises(Failed) as end:
        await run(tmp_path, "sticker.read", {"path": "x"})
    assert end.value.error_type == error_type


async def test_a_full_or_missing_disk_is_a_failure_of_the_task(tmp_path: Path) -> None:
    (tmp_path / "data" / "stickers").mkdir(parents=True)
    (tmp_path / "data" / "stickers" / "file").write_text("x")
    with pytest.raises(Failed) as end:
        await run(tmp_path, "sticker.write", {"path": "file/below", "content": CONTENT})
    assert end.value.error_type == "sticker.io"
