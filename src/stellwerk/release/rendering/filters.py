"""What templates can do to values beyond what Jinja brings."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import yaml
from jinja2 import Undefined

from stellwerk.release.documents import Malformed, read_documents


class FilterError(ValueError):
    """A value is not what the filter can take; the text is for people."""


def plain(value: Any) -> Any:
    """Copy a value into plain JSON; a missing one inside is an error."""
    if isinstance(value, Undefined):
        str(value)  # complains
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return str(value) if isinstance(value, str) else value
    raise FilterError(f"{type(value).__name__} has no form in JSON")


def to_json(value: Any, indent: int | None = None) -> str:
    """Write a value as JSON; `indent` spreads it over lines."""
    text = msgspec.json.encode(plain(value))
    return (text if indent is None else msgspec.json.format(text, indent=indent)).decode()


def to_yaml(value: Any) -> str:
    """Write a value as YAML in lines, to stand behind `| nindent(n)`."""
    text: str = yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def from_json(text: Any) -> Any:
    """Read JSON."""
    try:
        return msgspec.json.decode(str(text))
    except msgspec.DecodeError as error:
        raise FilterError(f"from_json: {error}") from None


def from_yaml(text: Any) -> Any:
    """Read YAML of one document."""
    try:
        return next((document.value for document in read_documents(str(text))), None)
    except Malformed as error:
        raise FilterError(f"from_yaml: {error}") from None


def b64encode(value: Any) -> str:
    """Write text in base64, as `data` of a Secret wants it."""
    return base64.b64encode(text_of(value).encode()).decode()


def b64decode(value: Any) -> str:
    """Read text from base64."""
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise FilterError(f"b64decode: {error}") from None


def sha256(value: Any) -> str:
    """Hash text; in an annotation of pods it restarts them when a configuration changes."""
    return hashlib.sha256(text_of(value).encode()).hexdigest()


def quote(value: Any) -> str:
    """Put a value between quotes, so that YAML takes it for text whatever it looks like."""
    return msgspec.json.encode(text_of(value)).decode()


def nindent(value: Any, width: int) -> str:
    """Put a text on lines of its own, each moved in by so many spaces."""
    return "\n" + "\n".join(" " * width + line if line else line for line in str(value).split("\n"))


def required(value: Any, message: str = "") -> Any:
    """Hand a value on; an error with this message if it is missing or empty."""
    if isinstance(value, Undefined) or value is None or value == "":
        if not message:
            str(value)  # a missing value says its own name best
        raise FilterError(message or "a value that is required is empty")
    return value


def text_of(value: Any) -> str:
    """Write a value as it stands in the text: JSON's words for what is no text already."""
    return str(value) if isinstance(value, str | Undefined) else to_json(value)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "to_json": to_json,
    "tojson": to_json,
    "to_yaml": to_yaml,
    "from_json": from_json,
    "from_yaml": from_yaml,
    "b64encode": b64encode,
    "b64decode": b64decode,
    "sha256": sha256,
    "quote": quote,
    "nindent": nindent,
    "required": required,
}
