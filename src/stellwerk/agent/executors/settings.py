"""What an operator may decide about this machine's executors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """Where the executors find what they need, and what they refuse."""

    data_dir: Path
    """The agent's own. Stickers stand in `stickers/`, host keys in `known_hosts`, SSH keys in `ssh/`."""

    docker_host: str | None = None
    """`unix://…` or `tcp://…`; None takes DOCKER_HOST, else `unix:///var/run/docker.sock`."""

    bind_roots: tuple[Path, ...] | None = None
    """Host folders that containers may mount. None, the default, allows every folder: who may give tasks to
    an agent that drives a container engine is trusted with the machine."""

    sticker_roots: tuple[Path, ...] = ()
    """Further folders in which stickers may be written and read; relative paths are under `stickers/`."""
