"""Reads the published examples: requests as curl commands, documented answers as JSON."""

import json
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

TEXT = Path(__file__).with_name("document_examples.md").read_text()


@dataclass(frozen=True, slots=True)
class Request:
    """One request as curl would send it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Example:
    """One documented endpoint."""

    title: str
    endpoint: str
    request: Request
    answers: dict[int, Any]
    """Documented bodies by status."""


def read_examples() -> list[Example]:
    """Read every example of the document."""
    return [read_section(section) for section in TEXT.split("\n### ")[1:]]


def read_section(section: str) -> Example:
    """Read the part of one endpoint."""
    endpoint = re.search(r"\*\*Endpoint:\*\* `(.+?)`", section)
    command = re.search(r"```bash\n(.+?)\n```", section, re.DOTALL)
    assert endpoint is not None
    assert command is not None
    answers = re.findall(r"\*\*Response \((\d+) .+?\):\*\*\n\n```json\n(.+?)\n```", section, re.DOTALL)
    bodies = {int(status): json.loads(body.replace("0.0-1.0", "0.5")) for status, body in answers}
    return Example(section.split("\n", 1)[0], endpoint[1], read_curl(command[1]), bodies)


def read_curl(command: str) -> Request:
    """Read a curl command."""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    method, path, headers, body = None, "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name.lower()] = value
        elif word == "-d":
            body = next(words).encode()
        else:
            path = word.removeprefix("http://localhost:9001")
    return Request(method or ("GET" if body is None else "POST"), path, headers, body)


def lacks(documented: Any, answered: Any, where: str = "body") -> list[str]:
    """List what the answer lacks of the documented one: fields, and the kinds of their values."""
    if isinstance(documented, dict):
        if not isinstance(answered, dict):
            return [f"{where} is no object"]
        named = {name: inner for name, inner in documented.items() if name not in ("string", "any")}
        missing = [f"{where}.{name} is missing" for name in named if name not in answered]
        return missing + [
            fault
            for name in named.keys() & answered.keys()
            for fault in lacks(named[name], answered[name], f"{where}.{name}")
        ]
    if isinstance(documented, list):
        if not isinstance(answered, list):
            return [f"{where} is no list"]
        return [fault for one in answered for fault in lacks(documented[0], one, f"{where}[]")]
    if isinstance(documented, str):
        return [] if isinstance(answered, str) and _fits(documented, answered) else [f"{where}: {answered!r}"]
    is_number = isinstance(answered, int | float) and not isinstance(answered, bool)
    return [] if is_number else [f"{where} is no number"]


def _fits(documented: str, answered: str) -> bool:
    if documented == "ISO 8601 timestamp":
        return datetime.fromisoformat(answered).utcoffset() is not None
    if documented == "UUID string":
        return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answered) is not None
    if documented in ("success", "healthy"):
        return answered == documented
    pattern = re.sub(r"\\\{.+?\\\}", ".+", re.escape(documented))
    return documented == "string" or "{" not in documented or re.fullmatch(pattern, answered) is not None
