"""Who may call what, as a document: made from the same descriptions that the matrix of tests goes through."""

from collections.abc import Mapping
from typing import Any

HEAD = """# Who may call what

Made from the served descriptions, which the tests hold every operation against with every kind of caller: no
credentials, a wrong key, a key with each scope, a connector's token with each capability, and agents'
certificates, good and bad. Do not edit it; `STELLWERK_GOLDEN=write` and
`pytest tests/interfaces/test_authorisation_matrix.py` write it anew.

*Nothing* is public on every listener. A **scope** is needed where a listener asks for keys; `admin` implies
all of them. A **certificate** is an agent's own, whatever the listener; a **capability** is that of a
connector's token, for the agents that the token names.
"""


def matrix(paths: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Write the document for the paths of an OpenAPI description."""
    rows = sorted(
        (path, method.upper(), needs(operation))
        for path, item in paths.items()
        for method, operation in item.items()
    )
    lines = [f"| `{method} {path}` | {needed} |" for path, method, needed in rows]
    return "\n".join([HEAD, f"| operation ({len(rows)}) | needs |", "|---|---|", *lines, ""])


def needs(operation: Mapping[str, Any]) -> str:
    """Say what a caller of one operation has to show."""
    if operation.get("x-required-certificate"):
        return "certificate"
    if capability := operation.get("x-required-capability"):
        return f"capability `{capability}`" if isinstance(capability, str) else "connector's token"
    if scope := operation.get("x-required-scope"):
        return f"scope `{scope}`"
    return "nothing"
