"""Write what a release is made of: a CycloneDX 1.5 document from `requirements.lock`.

    python .ci/sbom.py > dist/stellwerk.cdx.json

What is installed with `stellwerk` or one of its extras is `required`; what only builds and tests it is
`excluded`. Two runs over the same lock differ in nothing: a changed document is a changed lock.
"""

import json
import re
import sys
import tomllib
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


def locked(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return version and SHA-256 hashes of every package of a lock, by name."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in text.replace("\\\n", " ").splitlines():
        if pinned := _PINNED.match(entry):
            found[plain(pinned["name"])] = (pinned["version"], sorted(_HASH.findall(entry)))
    return found


def plain(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(project: dict[str, Any]) -> set[str]:
    """Return the packages that come with the project and its extras, as far as they are installed here."""
    given = [
        *project["dependencies"],
        *(one for some in project["optional-dependencies"].values() for one in some),
    ]
    waiting, found = [name_of(one) for one in given], set[str]()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # For another system or another Python.
        waiting += [name_of(one) for one in wanted if "extra ==" not in one]
    return found


def name_of(requirement: str) -> str:
    """Return the name that a requirement begins with."""
    found = _NAME.match(requirement)
    return plain(found[0]) if found else ""


def document(lock: str, project: dict[str, Any], version: str) -> dict[str, Any]:
    """Make the document."""
    required = needed(project)
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "scope": "required" if name in required else "excluded",
            "purl": f"pkg:pypi/{name}@{version}",
            # One for each file that may be installed.
            "hashes": [{"alg": "SHA-256", "content": one} for one in hashes],
        }
        for name, (version, hashes) in sorted(locked(lock).items())
    ]
    ours = f"pkg:pypi/{project['name']}@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ours + lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": project["name"],
                "version": version,
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": ours,
            }
        },
        "components": components,
        "dependencies": [
            {"ref": ours, "dependsOn": [one["bom-ref"] for one in components if one["scope"] == "required"]}
        ],
    }


def main() -> None:
    """Write the document of this checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = (ROOT / "src" / "stellwerk" / "__init__.py").read_text()
    version = re.search(r'__version__ = "([^"]+)"', said)
    made = document((ROOT / "requirements.lock").read_text(), project, version[1] if version else "0")
    sys.stdout.write(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
