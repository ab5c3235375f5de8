"""Reading an application from its folder.

    <service>/*.yaml          manifests, at any depth; a YAML file beside the services belongs to `default`
    <service>/_part.yaml      not a manifest by itself: for `include` and `import` of templates
    <service>/<other file>    data, for `files` in templates
    stellwerk.yaml            name, version, groups, dependsOn, ignore
    requirements.yaml         what is asked of the cluster
    parameters.yaml           what holds where stored parameters say nothing
    parameters.schema.json    what parameters may be

Whatever is wrong becomes a fault; nothing here raises for what a file says.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stellwerk.release.application.application import Application, ServiceFolder
from stellwerk.release.application.description import Description, read_description, resolve
from stellwerk.release.application.folder import read_folder, service_of
from stellwerk.release.application.mapping import Reader
from stellwerk.release.application.requirements import Requirement, read_requirements
from stellwerk.release.application.schema import BUILT_IN, Schema, UnusableSchema
from stellwerk.release.documents import Document, Malformed, read_documents
from stellwerk.release.fault import Fault

DESCRIPTION, DEFAULTS, SCHEMA = "stellwerk.yaml", "parameters.yaml", "parameters.schema.json"
REQUIREMENTS = ("requirements.yaml", "requirements.yml")
ROOT_SERVICE = "default"
"""Of manifests that lie beside the services."""

_SERVICE = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?\Z")


def load(folder: Path, *, name: str = "application") -> Application:
    """Read the folder of manifests as it is now. `name` is for applications whose files give none.

    Blocks for as long as reading takes.
    """
    faults: list[Fault] = []
    files = read_folder(folder, faults)
    described = _reader(files, DESCRIPTION, faults)
    description = read_description(described) if described else Description()
    services = _services(files, description, faults)
    if described:
        description = resolve(described, description, services)
        faults += described.faults
    schema = _schema(files, faults)
    defaults = _defaults(files, faults)
    faults += _against(schema, defaults)
    return Application(
        name=description.name or name,
        version=description.version,
        services=services,
        groups=description.groups,
        depends_on=description.depends_on,
        requirements=_requirements(files, faults),
        defaults=defaults.value if defaults else {},
        schema=schema,
        files=files,
        faults=tuple(faults),
    )


def _services(
    files: Mapping[str, bytes], description: Description, faults: list[Fault]
) -> dict[str, ServiceFolder]:
    found: dict[str, list[str]] = {}
    for name in files:
        service = service_of(name) or ROOT_SERVICE
        if _is_manifest(name) and not any(fnmatch.fnmatchcase(name, one) for one in description.ignore):
            found.setdefault(service, []).append(name)
    for service in [service for service in found if not _SERVICE.match(service)]:
        advice = "use up to 63 of a-z, 0-9, - and ., with a letter or digit at both ends"
        faults.append(Fault(service, None, f"{service!r} cannot be the name of a service", advice, service))
        del found[service]
    return {name: ServiceFolder(name, tuple(sorted(found[name]))) for name in sorted(found)}


def _is_manifest(name: str) -> bool:
    base = name.rsplit("/", 1)[-1]
    if not base.endswith((".yaml", ".yml")) or base.startswith("_") or base in REQUIREMENTS:
        return False
    return name not in (DESCRIPTION, DEFAULTS)


def _reader(files: Mapping[str, bytes], name: str, faults: list[Fault]) -> Reader | None:
    """Read a YAML file of one document; None where there is none, or none that can be read."""
    if name not in files:
        return None
    try:
        documents = list(read_documents(files[name].decode()))
    except UnicodeDecodeError:
        faults.append(Fault(name, None, "is not UTF-8", "save it as UTF-8"))
        return None
    except Malformed as error:
        faults.append(Fault(name, error.line, error.message, error.advice))
        return None
    if len(documents) > 1:
        faults.append(Fault(name, documents[1].line_of(), "has more than one document", "keep one"))
    return Reader(name, documents[0]) if documents else None


def _requirements(files: Mapping[str, bytes], faults: list[Fault]) -> tuple[Requirement, ...]:
    for name in REQUIREMENTS:
        reader = _reader(files, name, faults)
        if reader:
            found = read_requirements(reader)
            faults += reader.faults
            return found
    return ()


def _defaults(files: Mapping[str, bytes], faults: list[Fault]) -> Document | None:
    reader = _reader(files, DEFAULTS, faults)
    if reader is None:
        return None
    if not reader.is_a(dict, reader.document.value, []):
        faults += reader.faults
        return None
    return reader.document


def _schema(files: Mapping[str, bytes], faults: list[Fault]) -> Mapping[str, Any] | None:
    if SCHEMA not in files:
        return None
    try:
        document = msgspec.json.decode(files[SCHEMA], type=dict[str, Any])
        Schema(document)
    except (msgspec.DecodeError, UnusableSchema) as error:
        faults.append(
            Fault(SCHEMA, None, f"is no JSON schema: {error}", "mend it; until then it checks nothing")
        )
        return None
    return document


def _against(schema: Mapping[str, Any] | None, defaults: Document | None) -> Iterator[Fault]:
    """Check the application's own defaults; what else they lack may be stored later."""
    if defaults is None:
        return
    for one in Schema(schema or BUILT_IN).violations(defaults.value):
        if one.keyword == "required":
            continue
        line = defaults.line_of(one.path.split("."))
        yield Fault(DEFAULTS, line, f"{one.path} {one.message}", f"see {SCHEMA}" if schema else "")
