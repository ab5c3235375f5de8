"""The effective settings as text, secrets hidden."""

import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path

import yaml

from stellwerk.settings.loading import Loaded

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^:/@\s]*):([^@\s]*)@")
_SECRET = frozenset({"token", "api_key", "headers"})
"""Headers of one's own may hold keys as well."""
_PASSWORD_IN_QUERY = re.compile(r"(?i)(password=)[^&\s]*")


def hide_password(url: str) -> str:
    """Replace the password inside a URL by stars."""
    return _PASSWORD_IN_QUERY.sub(r"\1***", _PASSWORD_IN_URL.sub(r"\1:***@", url))


def effective_settings(loaded: Loaded) -> str:
    """Render all settings as YAML that can be loaded again; comments name the sources of non-defaults."""
    lines: list[str] = []
    for entry in fields(loaded.settings):
        section = getattr(loaded.settings, entry.name)
        if not is_dataclass(section):
            lines.append(_line("", entry.name, section, loaded.origins.get(entry.name)))
            continue
        lines.append(f"{entry.name}:")
        for inner in fields(section):
            origin = loaded.origins.get(f"{entry.name}.{inner.name}")
            lines.append(_line("  ", inner.name, getattr(section, inner.name), origin))
    return "\n".join(lines) + "\n"


def _line(indent: str, name: str, value: object, origin: str | None) -> str:
    if name in _SECRET and value:
        # Not stars: what is printed can be loaded again, and they would be a token that everybody knows.
        return f"{indent}# {name} is set by {origin} and not shown"
    if isinstance(value, Path):
        value = str(value)
    elif isinstance(value, dict):
        value = {key: one if isinstance(one, str) else asdict(one) for key, one in value.items()}
    elif isinstance(value, tuple):
        value = list(value)
    elif isinstance(value, str):
        value = hide_password(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
    return f"{indent}{name}: {text}" + (f"  # {origin}" if origin else "")
