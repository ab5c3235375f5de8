"""Put the settings together: defaults, file, environment, flags; the later source wins.

Every source is reduced to assignments `section.field = raw value` that remember where they were written, so
that all faults can be reported together, each with its file and line, variable, or flag.
"""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from stellwerk.settings.agentfield import from_agentfield, from_variables
from stellwerk.settings.assignment import Assignment
from stellwerk.settings.faults import Fault, SettingsError
from stellwerk.settings.sections import Settings
from stellwerk.settings.values import Raw, WrongValue, complaint, contradictions, convert

PREFIX = "STELLWERK_"
DEFAULT_FILE = Path("stellwerk.yaml")
CLIENT_VARIABLES = {"STELLWERK_SERVER", "STELLWERK_API_KEY", "STELLWERK_CONFIG", "STELLWERK_INSTANCE"}
"""Variables of the command line's clients; they are not settings of the server."""
CLIENT_VARIABLES |= {
    f"STELLWERK_{name}" for name in ("AGENT_TOKEN", "AGENT_NAME", "AGENT_DATA_DIR", "CA_SHA256")
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings and, for each that is not a default, where it came from."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    file: Path | None = None, flags: Sequence[Assignment] = (), environment: Mapping[str, str] | None = None
) -> Loaded:
    """Load from `file` (else STELLWERK_CONFIG, else ./stellwerk.yaml if there), environment and flags.

    Raises SettingsError with every fault found.
    """
    environment = os.environ if environment is None else environment
    faults: list[Fault] = []
    assignments = [
        *from_agentfield(environment, faults),
        *_from_kubectl(environment),
        *_from_file(file, environment, faults),
        *from_variables(environment, faults),
        *_from_environment(environment, faults),
        *flags,
    ]
    settings, origins = _apply(assignments, faults)
    for name, problem in contradictions(settings):
        faults.append(Fault(origins.get(name, name), problem))
    if faults:
        raise SettingsError(faults)
    return Loaded(settings, origins)


def flag(name: str, raw: Raw, spelled: str) -> Assignment:
    """Make the assignment of a command-line flag; `spelled` is the flag as the user wrote it."""
    return Assignment(name, raw, spelled)


def set_flags(texts: Sequence[str]) -> list[Assignment]:
    """Read `--set section.field=value` flags; raise SettingsError for one without `=`.

    Only the name is remembered as the place, because the value may be a secret.
    """
    faults = [Fault(f"--set {text}", "expected section.field=value") for text in texts if "=" not in text]
    if faults:
        raise SettingsError(faults)
    pairs = [text.split("=", 1) for text in texts]
    return [Assignment(name.strip(), value, f"--set {name.strip()}") for name, value in pairs]


def known_names() -> dict[str, object]:
    """Every setting as `section.field` (or `data_dir`) with its type."""
    known: dict[str, object] = {}
    for name, kind in get_type_hints(Settings).items():
        if is_dataclass(kind):
            known.update({f"{name}.{inner}": hint for inner, hint in get_type_hints(kind).items()})
        else:
            known[name] = kind
    return known


def _from_file(
    file: Path | None, environment: Mapping[str, str], faults: list[Fault]
) -> Iterator[Assignment]:
    path = file or (Path(given) if (given := environment.get("STELLWERK_CONFIG")) else None)
    if path is None:
        if not DEFAULT_FILE.exists():
            return
        path = DEFAULT_FILE
    # Loaded only where there is a file: the reader of YAML is a twentieth of the start.
    from stellwerk.settings.file import read_file

    yield from read_file(path, faults)


def _from_kubectl(environment: Mapping[str, str]) -> Iterator[Assignment]:
    """Take the cluster that whoever started us selected for `kubectl` as well."""
    if environment.get("KUBECONFIG"):
        yield Assignment("conductor.kubeconfig", environment["KUBECONFIG"], "KUBECONFIG")


def _from_environment(environment: Mapping[str, str], faults: list[Fault]) -> Iterator[Assignment]:
    spelled = {PREFIX + name.replace(".", "_").upper(): name for name in known_names()}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in CLIENT_VARIABLES:
            continue
        if variable in spelled:
            yield Assignment(spelled[variable], environment[variable], variable)
        else:
            faults.append(Fault(variable, f"is no setting{_suggestion(variable, spelled)}"))


def _apply(assignments: Sequence[Assignment], faults: list[Fault]) -> tuple[Settings, dict[str, str]]:
    known = known_names()
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for assignment in assignments:
        name = assignment.name
        if name not in known:
            faults.append(Fault(assignment.where, f"{name!r} is no setting{_suggestion(name, known)}"))
            continue
        try:
            value = convert(known[name], assignment.raw)
        except WrongValue as wrong:
            faults.append(Fault(assignment.where, f"{name}: {wrong}"))
            continue
        problem = complaint(name, value)
        if problem:
            faults.append(Fault(assignment.where, f"{name}: {problem}"))
            continue
        values[name] = value
        origins[name] = assignment.where
    return _build(values), origins


def _build(values: Mapping[str, object]) -> Settings:
    settings = Settings()
    changed: dict[str, Any] = {}
    for entry in fields(Settings):
        section = getattr(settings, entry.name)
        if is_dataclass(section):
            prefix = entry.name + "."
            own = {
                name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)
            }
            changed[entry.name] = replace(section, **own)  # type: ignore[type-var]  # every section is a dataclass value
        elif entry.name in values:
            changed[entry.name] = values[entry.name]
    return replace(settings, **changed)


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; `stellwerk settings` lists all"
