"""Small applications in folders of their own."""

from collections.abc import Mapping
from pathlib import Path

from stellwerk.release.application.application import Application
from stellwerk.release.application.reading import load

CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
data:
  a: "1"
"""


def config(name: str) -> str:
    """A manifest that nothing is wrong with."""
    return CONFIG.format(name=name)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def application(folder: Path, files: Mapping[str, str | bytes]) -> Application:
    """Write files, and read them as an application."""
    return load(write(folder, files), name="shop")
