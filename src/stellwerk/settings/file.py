"""The settings file: YAML, where every value remembers its line."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_type_hints

import yaml

from stellwerk.settings.assignment import Assignment
from stellwerk.settings.faults import Fault
from stellwerk.settings.sections import Settings
from stellwerk.settings.values import Raw


def read_file(path: Path, faults: list[Fault]) -> Iterator[Assignment]:
    """List what the file sets; what is wrong with it goes to `faults`."""
    root = _compose(path, faults)
    if root is not None:
        yield from _walk(path, root, "", faults)


def read_tree(path: Path, faults: list[Fault]) -> Raw:
    """Read a file whose names are not ours as it is; None, with a fault, if it cannot be read."""
    root = _compose(path, faults)
    return None if root is None else _plain(root)


def _compose(path: Path, faults: list[Fault]) -> yaml.Node | None:
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        faults.append(Fault(str(path), f"cannot be read: {error.strerror}"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        faults.append(Fault(where, f"is not valid YAML: {getattr(error, 'problem', None) or error}"))
    return None


def _walk(path: Path, node: yaml.Node, prefix: str, faults: list[Fault]) -> Iterator[Assignment]:
    if not isinstance(node, yaml.MappingNode):
        faults.append(Fault(f"{path}:{node.start_mark.line + 1}", "expected `name: value` lines here"))
        return
    seen: set[str] = set()
    for key, value in node.value:
        where = f"{path}:{key.start_mark.line + 1}"
        name = f"{prefix}{key.value}"
        if name in seen:
            faults.append(Fault(where, f"{name} is set twice in this file"))
        seen.add(name)
        if not prefix and is_dataclass(get_type_hints(Settings).get(name)):
            yield from _walk(path, value, f"{name}.", faults)
        else:
            yield Assignment(name, _plain(value), where)


def _plain(node: yaml.Node) -> Raw:
    return yaml.SafeLoader("").construct_object(node, deep=True)
