"""The container engine of this machine, as far as the demo needs it: found, and given one small image.

The image is made here, so that no registry and no network is needed: a file system with a single program of
some hundred bytes, which waits until it is ended.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp

IMAGE = "stellwerk-demo"
PROGRAM = "/wait"
ARCHITECTURES = frozenset({"amd64", "x86_64"})
LIMIT_S = 10.0
WAIT_CODE = bytes.fromhex("b8220000000f05ebf7")  # mov eax, 34 (pause); syscall; jmp to the start
BASE = 0x400000


class NoEngine(Exception):
    """There is no engine that the demo can use; the message says why."""


async def find_engine() -> str:
    """Return the address of an engine that answers. Raises NoEngine."""
    given = os.environ.get("DOCKER_HOST")
    hosts = [given] if given else [f"unix://{path}" for path in _sockets() if path.is_socket()]
    if not hosts:
        raise NoEngine("there is no Docker or podman socket, and DOCKER_HOST is not set")
    why = ""
    for host in hosts:
        try:
            async with _session(host) as session, session.get("/version") as answer:
                version = await answer.json()
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            why = f"the engine at {host} does not answer: {error}"
            continue
        if version.get("Arch") not in ARCHITECTURES:
            raise NoEngine(
                f"the engine at {host} is for {version.get('Arch')}; the demo's program is for amd64"
            )
        return host
    raise NoEngine(why)


async def bring_image(host: str) -> None:
    """Give the engine the demo's image. Raises NoEngine."""
    path = f"/images/create?fromSrc=-&repo={quote(IMAGE)}&tag=latest"
    try:
        async with _session(host) as session, session.post(path, data=_file_system()) as answer:
            said = await answer.text()
            if answer.status != 200 or '"error"' in said:
                raise NoEngine(f"the engine at {host} takes no image: {said.strip()[-200:]}")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise NoEngine(f"the engine at {host} takes no image: {error}") from error


async def clear(host: str, container: str) -> None:
    """Remove the container and the image, if they are there. What cannot be removed stays."""
    try:
        async with _session(host) as session:
            await session.delete(f"/containers/{container}?force=1&v=1")
            await session.delete(f"/images/{IMAGE}:latest?force=1")
    except (aiohttp.ClientError, OSError, TimeoutError):
        return


def _sockets() -> Iterator[Path]:
    yield Path("/var/run/docker.sock")
    yield Path("/run/podman/podman.sock")
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(folder) / "podman" / "podman.sock"


def _session(host: str) -> aiohttp.ClientSession:
    scheme, _, where = host.partition("://")
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    if scheme == "unix":
        return aiohttp.ClientSession("http://engine", connector=aiohttp.UnixConnector(where), timeout=timeout)
    if scheme == "tcp":
        return aiohttp.ClientSession(f"http://{where}", timeout=timeout)
    raise NoEngine(f"the demo speaks to engines at unix:// and tcp://, not at {host}")


def _file_system() -> bytes:
    program = _executable(WAIT_CODE)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(PROGRAM.lstrip("/"))
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return packed.getvalue()


def _executable(code: bytes) -> bytes:
    """Make a static ELF program for amd64: header, one loaded segment, code."""
    start = 64 + 56
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    size = start + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x1000)
    return header + segment + code
