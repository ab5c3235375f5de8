"""Backups: one archive with everything durable of a server, made while it runs, and its way back.

Theory of operation. An archive is a tar file with a manifest first: the format, who wrote it, and the hash of
every file. The database is copied under one read, and afterwards the authority's folder (roots, the key of
the secrets at rest): the database may name a root, never the other way round, so the files may be newer and
not older. If the folder changed meanwhile it is read again. The archive appears under its name when it is
whole and synced. A restore checks everything before it writes anything, and never writes over a data
directory that is in use: it goes into a new one, which appears at once.

What a replica keeps in PostgreSQL is not in the archive; that has tools of its own.
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from stellwerk import __version__
from stellwerk.database.backup import CopyUnusable, copy_sqlite

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "stellwerk.db"
AUTHORITY = "authority"
TRIES = 5
"""Readings of the authority's folder: its files change once in months."""


class BackupRefused(Exception):
    """A backup or a restore that cannot be made; says why, and nothing was changed."""


class Entry(msgspec.Struct, frozen=True):
    """One file of an archive."""

    name: str
    """Relative, with slashes."""
    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds."""

    format: int
    version: str
    """Of the program that wrote it."""
    created_at: int
    """Microseconds UTC."""
    database: bool
    """Whether the database is in it: PostgreSQL's is not."""
    files: tuple[Entry, ...]


def back_up(archive: Path, data_dir: Path, authority_dir: Path, *, embedded: bool) -> Manifest:
    """Write an archive of a server that may be running. Raises BackupRefused."""
    if archive.exists():
        raise BackupRefused(f"{archive} is there already")
    if embedded and not (data_dir / DATABASE).is_file():
        raise BackupRefused(f"there is no database in {data_dir}")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=archive.absolute().parent) as made:
            folder = Path(made)
            staged = folder / "files"
            staged.mkdir(mode=0o700)
            if embedded:
                copy_sqlite(data_dir / DATABASE, staged / DATABASE)
            _copy_unchanging(authority_dir, staged / AUTHORITY)
            manifest = Manifest(
                format=FORMAT,
                version=__version__,
                created_at=time.time_ns() // 1_000,
                database=embedded,
                files=tuple(_entries(staged)),
            )
            _write_archive(folder / "archive", staged, manifest)
            os.link(folder / "archive", archive)  # Unlike a rename, never over another file.
            _sync(archive.absolute().parent)
    except (OSError, CopyUnusable) as error:
        raise BackupRefused(f"the backup could not be made: {error}") from error
    return manifest


def restore(archive: Path, data_dir: Path) -> Manifest:
    """Make a data directory of an archive. Raises BackupRefused."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise BackupRefused(f"{data_dir} is not empty; restore into a new folder")
    parent = data_dir.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=parent) as made:
            staged = Path(made) / "data"
            staged.mkdir(mode=0o700)
            manifest = _read_archive(archive, staged)
            for folder, _, _ in os.walk(staged):
                _sync(Path(folder))
            if data_dir.exists():
                data_dir.rmdir()
            staged.rename(data_dir)
            _sync(parent)
    except (OSError, tarfile.TarError) as error:
        raise BackupRefused(f"{archive} could not be restored: {error}") from error
    return manifest


def _copy_unchanging(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise BackupRefused(f"there is no authority in {source}; has the server ever been started?")
    for _ in range(TRIES):
        shutil.rmtree(target, ignore_errors=True)
        before = list(_entries(source))
        shutil.copytree(source, target)
        if before == list(_entries(source)) == list(_entries(target)):
            return
    raise BackupRefused(f"{source} changes all the time")


def _entries(folder: Path) -> Iterator[Entry]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            yield Entry(file.relative_to(folder).as_posix(), digest, file.stat().st_size)


def _write_archive(file: Path, staged: Path, manifest: Manifest) -> None:
    described = staged / MANIFEST
    described.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name in (MANIFEST, *(one.name for one in manifest.files)):
                tar.add(staged / name, arcname=name, recursive=False)
        stream.flush()
        os.fsync(stream.fileno())


def _read_archive(archive: Path, staged: Path) -> Manifest:
    with tarfile.open(archive, mode="r:") as tar:
        manifest = _manifest(tar)
        for entry in manifest.files:
            _extract(tar, entry, staged)
    return manifest


def _manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    stream = None if first is None or first.name != MANIFEST else tar.extractfile(first)
    if stream is None:
        raise BackupRefused("the archive is no backup: it does not begin with a manifest")
    try:
        manifest = msgspec.json.decode(stream.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupRefused(f"the archive's manifest cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BackupRefused(f"the archive has format {manifest.format}; this program reads {FORMAT}")
    return manifest


def _extract(tar: tarfile.TarFile, entry: Entry, staged: Path) -> None:
    path = PurePosixPath(entry.name)
    if not path.parts or ".." in path.parts or path.parts[0] not in (DATABASE, AUTHORITY):
        raise BackupRefused(f"the archive has a file that belongs nowhere: {entry.name}")
    try:
        source = tar.extractfile(entry.name)
    except KeyError:
        source = None
    if source is None:
        raise BackupRefused(f"the archive lacks {entry.name}")
    file = staged / path
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        shutil.copyfileobj(source, stream)
        stream.flush()
        os.fsync(stream.fileno())
    with file.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != entry.sha256:
            raise BackupRefused(f"{entry.name} is not what was backed up: the archive is damaged")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
