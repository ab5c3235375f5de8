"""The code blocks of README and docs, and what is said of them.

A fenced block of shell or Python is run as it stands, in the order of its file. A comment in the line before
the fence says otherwise; readers do not see it:

    <!-- docs: not run: why it cannot be -->
    <!-- docs: file mywork.py -->      the reader saves it under this name
    <!-- docs: background -->          goes on while the following blocks run

Indented lines are shell too, but show long-running commands only: they are held against the command line.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")])
SHELL, PYTHON = ("bash", "sh", "console"), ("python",)

_FENCE = re.compile(r"^\s*```(\w*)\s*$")
_MARK = re.compile(r"^<!-- docs: (.+) -->$")
_ENDS_COMMAND = ("|", "||", "&&", ";", "&", ">", "<")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `mark` is what the comment before it says."""

    file: Path
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def blocks_of(file: Path) -> Iterator[Block]:
    """Go through the fenced blocks of a file."""
    lines = file.read_text().splitlines()
    began: int | None = None
    for number, line in enumerate(lines):
        if not (fence := _FENCE.match(line)):
            continue
        if began is None:
            began, language = number, fence[1]
            continue
        mark = _MARK.match(lines[began - 1]) if began else None
        yield Block(file, began + 1, language, "\n".join(lines[began + 1 : number]), mark[1] if mark else "")
        began = None


def commands_of(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Go through every call of `stellwerk` that a file shows, fenced or indented, with its line."""
    lines = file.read_text().splitlines()
    inside = ""
    for number, line in enumerate(lines):
        if fence := _FENCE.match(line):
            inside = "" if inside else (fence[1] or "text")
        elif inside in SHELL or (not inside and line.startswith("    ")):
            text, following = line, number
            while text.endswith("\\") and following + 1 < len(lines):
                following += 1
                text = text[:-1] + lines[following]
            if words := command_in(text):
                yield number + 1, words


def command_in(line: str) -> list[str] | None:
    """Return the words after `stellwerk` of a shell line that calls it."""
    if not re.search(r"(^|\s|\|)stellwerk ", line):
        return None
    try:
        words = shlex.split(line.strip().removeprefix("$ "), comments=True)
    except ValueError:
        return None  # The beginning of a longer text, such as JSON over several lines.
    if "stellwerk" not in words:
        return None
    words = words[words.index("stellwerk") + 1 :]
    ends = next((number for number, word in enumerate(words) if word in _ENDS_COMMAND), len(words))
    return words[:ends]
