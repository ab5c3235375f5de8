"""Where tests put their files."""

import os
import shutil
from pathlib import Path

_FOLDER = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3
"""Several times what a run leaves behind while it goes on."""


def in_memory() -> Path | None:
    """Return a folder in memory with enough room; None where there is none, as in small containers.

    Thousands of databases are made and synced; on a disk that others use as well a test of milliseconds
    takes seconds.
    """
    if not os.access(_FOLDER, os.W_OK) or shutil.disk_usage(_FOLDER).free < _ROOM_BYTES:
        return None
    return _FOLDER
