"""Reading a folder into memory, within limits and never beyond its own walls.

Names that begin with a dot are passed over, which is also how Kubernetes lays the versions of a mounted
ConfigMap aside: what it shows are links into them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from stellwerk.release.fault import Fault

MOST_FILES = 5_000
LARGEST_FILE = 4 * 1024 * 1024
LARGEST_FOLDER = 64 * 1024 * 1024
"""Bytes. An API server takes objects of some 1.5 MB; what is far beyond was put there by mistake."""


def service_of(name: str) -> str:
    """Return the service to which a path belongs; empty for what lies beside the services."""
    return name.split("/", 1)[0] if "/" in name else ""


def read_folder(folder: Path, faults: list[Fault]) -> dict[str, bytes]:
    """Return the content of every file by its path below the folder, with `/`."""
    files: dict[str, bytes] = {}
    size = 0
    for path in _walk(folder, faults):
        name = path.relative_to(folder).as_posix()
        try:
            content = _content(path)
        except OSError as error:
            faults.append(
                Fault(name, None, f"cannot be read: {error.strerror or error}", "", service_of(name))
            )
            continue
        size += len(content)
        if len(files) >= MOST_FILES or size > LARGEST_FOLDER:
            limit = f"{MOST_FILES} files or {LARGEST_FOLDER >> 20} MiB"
            faults.append(
                Fault(name, None, f"the folder has more than {limit}", "only manifests belong here")
            )
            break
        files[name] = content
    return files


def _content(path: Path) -> bytes:
    # Opened first and measured then: a pipe would never end, a device neither.
    if not path.is_file():
        raise OSError("it is no plain file")
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise OSError(f"it is larger than {LARGEST_FILE >> 20} MiB")
    return content


def _walk(folder: Path, faults: list[Fault]) -> Iterator[Path]:
    """List the files in order. A link is followed only to what lies in the folder itself."""
    root = folder.resolve()
    if not root.is_dir():
        faults.append(Fault(".", None, f"there is no folder {folder}", "name the folder of manifests"))
        return
    seen = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        here = Path(at)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        folders[:] = sorted(
            one for one in folders if not _hidden(one) and _inside(here / one, root, faults, folder)
        )
        for name in sorted(names):
            if not _hidden(name) and _inside(here / name, root, faults, folder):
                yield here / name


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _inside(path: Path, root: Path, faults: list[Fault], folder: Path) -> bool:
    if not path.is_symlink() or path.resolve().is_relative_to(root):
        return True
    name = path.relative_to(folder).as_posix()
    faults.append(Fault(name, None, "is a link to outside of the folder", "copy it here", service_of(name)))
    return False
