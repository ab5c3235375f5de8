"""Files: those that settings name, who may read the secret ones, and the space that is left."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from stellwerk.app.doctor.finding import Finding
from stellwerk.settings import Settings

LOW_BYTES = 1 << 30
"""A day of a busy server; below, somebody should look."""
EMPTY_BYTES = 64 << 20
"""Less than what the write-ahead log takes in a burst."""


def examine_files(settings: Settings) -> Iterator[Finding]:
    """Look at every file and folder that a server would open."""
    yield from _named(settings)
    if settings.data_dir.is_dir():
        yield from _data_dir(settings.data_dir)
        yield _space(settings.data_dir)
    else:
        yield _fresh(settings.data_dir)
    yield from _secrets(settings)


def authority_dir(settings: Settings) -> Path:
    """Return the folder of the roots and of the keys at rest."""
    return settings.trust.authority_dir or settings.data_dir / "authority"


def _named(settings: Settings) -> Iterator[Finding]:
    named = {
        "tls.certificate": settings.tls.certificate,
        "tls.key": settings.tls.key,
        "trust.server_ca": settings.trust.server_ca,
        "conductor.manifests": settings.conductor.manifests,
        "inquiry.workflows_dir": settings.inquiry.workflows_dir,
    }
    for setting, path in named.items():
        if path is None:
            continue
        if not os.access(path, os.R_OK):
            why = "cannot be read by this user" if path.exists() else "does not exist"
            yield Finding.fail(f"files.{setting}", f"{path} {why}", f"mend the path or the rights: {setting}")
        else:
            yield Finding.ok(f"files.{setting}", str(path))


def _data_dir(folder: Path) -> Iterator[Finding]:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding.fail(
            "files.data_dir", f"{folder} cannot be written by this user", "run as the server's user"
        )
    elif folder.stat().st_mode & 0o077:
        yield Finding.warn("files.data_dir", f"{folder} is open to others", f"run: chmod 700 {folder}")
    else:
        yield Finding.ok("files.data_dir", str(folder))


def _fresh(folder: Path) -> Finding:
    parent = next(one for one in folder.absolute().parents if one.exists())
    if folder.exists() or not os.access(parent, os.W_OK):
        return Finding.fail(
            "files.data_dir", f"{folder} is no folder and cannot be made", "name another one with --data-dir"
        )
    return Finding.ok("files.data_dir", f"{folder} does not exist yet; the first start makes it")


def _space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    told = f"{free / (1 << 30):.1f} GiB free under {folder}"
    advice = "make room; without it every change is answered with 503"
    if free < EMPTY_BYTES:
        return Finding.fail("files.space", told, advice)
    return Finding.warn("files.space", told, advice) if free < LOW_BYTES else Finding.ok("files.space", told)


def _secrets(settings: Settings) -> Iterator[Finding]:
    folder = authority_dir(settings)
    secret = [
        *sorted(folder.rglob("*.key")),
        settings.data_dir / "server.pem",
        settings.data_dir / "stellwerk.db",
    ]
    if settings.tls.key is not None:
        secret.append(settings.tls.key)
    try:
        present = [file for file in secret if file.exists()]
        bare = [file for file in present if file.stat().st_mode & 0o077]
    except OSError as error:
        yield Finding.fail(
            "files.secrets", f"cannot be looked at: {error.strerror}", "run as the server's user"
        )
        return
    for file in bare:
        yield Finding.fail("files.secrets", f"{file} can be read by others", f"run: chmod 600 {file}")
    if present and not bare:
        yield Finding.ok("files.secrets", f"{len(present)} files are their owner's alone")
