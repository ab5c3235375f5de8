"""Reading a mapping of fixed names out of a YAML file: every wrong name and kind is a fault with its line."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stellwerk.release.documents import Document
from stellwerk.release.fault import Fault
from stellwerk.release.spelling import did_you_mean

_KINDS: dict[type, str] = {
    str: "a text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    int: "a number",
}

Step = str | int


@dataclass(slots=True)
class Reader:
    """A file that is being read, and what was found wrong with it."""

    file: str
    document: Document
    faults: list[Fault] = field(default_factory=list)

    def fault(self, path: Sequence[Step], message: str, advice: str = "") -> None:
        """Record what is wrong with the value at the path."""
        self.faults.append(Fault(self.file, self.document.line_of(path), message, advice))

    def is_a(self, kind: type, value: object, path: Sequence[Step]) -> bool:
        """Tell whether a value has a kind; a fault if not."""
        if isinstance(value, kind):
            return True
        self.fault(path, f"{spelled(path)} is not {_KINDS[kind]}", f"write {_KINDS[kind]} here")
        return False

    def mapping(self, value: object, path: Sequence[Step], known: Sequence[str] = ()) -> dict[str, Any]:
        """Return a mapping without what it should not have; `known` empty takes any name."""
        if not self.is_a(dict, value, path) or not isinstance(value, dict):
            return {}
        for name in [name for name in value if known and name not in known]:
            self.fault([*path, name], f"{spelled([*path, name])} is not known", did_you_mean(name, known))
        return {name: one for name, one in value.items() if not known or name in known}

    def text(self, value: object, path: Sequence[Step]) -> str:
        """Return a text, also of a plain number; empty, with a fault, for what is none."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return str(value) if self.is_a(str, value, path) else ""

    def texts(self, value: object, path: Sequence[Step]) -> tuple[str, ...]:
        """Return a list of texts, without what is none."""
        if not self.is_a(list, value, path) or not isinstance(value, list):
            return ()
        return tuple(one for place, one in enumerate(value) if self.is_a(str, one, [*path, place]))


def spelled(path: Sequence[Step]) -> str:
    """Write a path as people do: `groups.redis[1]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "the document"
