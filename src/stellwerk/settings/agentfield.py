"""The published configuration of the connector: `agentfield.yaml` and the variables `AGENTFIELD_CONNECTOR_…`.

Two forms of it are published. The documented one is `connector:` with a list of capabilities, and a variable
with that list; with a token it is on, and without a list it may everything. The coded one is
`features.connector:` with a map of subjects, and a variable for each; it is on when `enabled` says so, and
without a map it may nothing. Both end as the settings `connector.token` and `connector.capabilities`;
whatever else such a file says is another program's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from stellwerk.settings.assignment import Assignment
from stellwerk.settings.faults import Fault

FILE_VARIABLE = "AGENTFIELD_CONFIG_FILE"
DEFAULT_FILE = Path("agentfield.yaml")
PREFIX = "AGENTFIELD_CONNECTOR_"
TOKEN = "connector.token"  # noqa: S105 - the name of a setting
CAPABILITIES = "connector.capabilities"
ON = {"true", "1", "yes", "on"}
READ_ONLY = ":read-only"


def from_agentfield(environment: Mapping[str, str], faults: list[Fault]) -> Iterator[Assignment]:
    """List what the file sets, if there is one; what is wrong with it goes to `faults`."""
    given = environment.get(FILE_VARIABLE)
    path = Path(given) if given else DEFAULT_FILE
    if not given and not path.exists():
        return
    from stellwerk.settings.file import read_tree  # YAML is a twentieth of the start

    tree = read_tree(path, faults)
    yield from _documented(tree, path, faults)
    yield from _coded(tree, path, faults)


def from_variables(environment: Mapping[str, str], faults: list[Fault]) -> Iterator[Assignment]:
    """List what the variables set; unknown ones of the family go to `faults`."""
    given = {name.removeprefix(PREFIX): text for name, text in environment.items() if name.startswith(PREFIX)}
    subjects = {name: text for name, text in given.items() if name.startswith("CAP_")}
    for name in sorted(given.keys() - subjects.keys() - {"TOKEN", "CAPABILITIES", "ENABLED"}):
        known = "TOKEN, CAPABILITIES, ENABLED and CAP_<NAME>"
        faults.append(Fault(PREFIX + name, f"is no setting; this family has {known}"))
    if "TOKEN" in given:
        yield Assignment(TOKEN, given["TOKEN"], f"{PREFIX}TOKEN")
    if "ENABLED" in given and given["ENABLED"].strip().lower() not in ON:
        yield Assignment(TOKEN, None, f"{PREFIX}ENABLED")
    if "CAPABILITIES" in given and subjects:
        faults.append(Fault(f"{PREFIX}CAPABILITIES", f"stands beside {PREFIX}CAP_…; use one of the two"))
    elif "CAPABILITIES" in given:
        yield Assignment(CAPABILITIES, given["CAPABILITIES"], f"{PREFIX}CAPABILITIES")
    elif subjects:
        words = {name.removeprefix("CAP_").lower(): text for name, text in subjects.items()}
        yield Assignment(CAPABILITIES, _names(words), f"{PREFIX}CAP_…")


def _documented(tree: object, path: Path, faults: list[Fault]) -> Iterator[Assignment]:
    connector = _within(tree, "connector")
    if connector is None:
        return
    where = f"{path}: connector"
    if not isinstance(connector, dict):
        faults.append(Fault(where, "expected `token` and `capabilities` here"))
        return
    if "token" in connector:
        yield Assignment(TOKEN, connector["token"], where)
    if "capabilities" in connector:
        yield Assignment(CAPABILITIES, connector["capabilities"], where)


def _coded(tree: object, path: Path, faults: list[Fault]) -> Iterator[Assignment]:
    connector = _within(tree, "features", "connector")
    if connector is None:
        return
    where = f"{path}: features.connector"
    subjects = connector.get("capabilities") or {} if isinstance(connector, dict) else None
    if not isinstance(connector, dict) or not isinstance(subjects, dict):
        faults.append(Fault(where, "expected `enabled`, `token` and a map of `capabilities` here"))
        return
    if connector.get("enabled") is not True:
        return
    yield Assignment(TOKEN, connector.get("token"), where)
    words = {}
    for subject, rules in subjects.items():
        if isinstance(rules, dict) and rules.get("enabled") is True:
            words[str(subject)] = "readonly" if rules.get("read_only") else "true"
    yield Assignment(CAPABILITIES, _names(words), where)


def _names(words: Mapping[str, str]) -> list[str]:
    """Write subjects and their words (`true`, `readonly`, anything else is off) as names of capabilities."""
    names = []
    for subject, text in sorted(words.items()):
        word = text.strip().lower()
        if word in ON:
            names.append(subject)
        elif word == "readonly":
            names.append(subject + READ_ONLY)
    return names


def _within(tree: object, *path: str) -> object:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree
