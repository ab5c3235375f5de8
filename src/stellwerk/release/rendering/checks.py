"""What can be said of an object before any cluster sees it: that it has a name, and texts where texts belong.

A number or `true` that stands unquoted where Kubernetes wants text is the most frequent fault of templates,
and the API server's word for it names no file. Nothing else is checked here: the cluster knows the rest.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stellwerk.release.objects import group_of

_TEXTS = frozenset({"labels", "annotations", "matchLabels", "nodeSelector"})
_KNOWN_GROUPS = frozenset({"", "apps", "batch", "networking.k8s.io", "policy"})
_DATA: Mapping[str, tuple[str, ...]] = {"ConfigMap": ("data",), "Secret": ("data", "stringData")}


class Flaw(NamedTuple):
    """Something wrong with the value at a path of an object."""

    path: tuple[str | int, ...]
    message: str
    advice: str


def flaws(body: Any) -> Iterator[Flaw]:
    """List what is wrong with an object as it was rendered."""
    if not isinstance(body, dict):
        yield Flaw((), "is no object: a mapping is expected", "write apiVersion, kind, metadata and the rest")
        return
    found = list(_identity(body))
    yield from found
    if not found and group_of(body["apiVersion"]) in _KNOWN_GROUPS:
        yield from _texts(body, ())
        for name in _DATA.get(body["kind"], ()) if group_of(body["apiVersion"]) == "" else ():
            yield from _only_texts(body.get(name), (name,))


def _identity(body: dict[str, Any]) -> Iterator[Flaw]:
    for name in ("apiVersion", "kind"):
        if not isinstance(body.get(name), str) or not body[name]:
            yield Flaw((name,), f"has no {name}", f"write `{name}: …`")
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        yield Flaw(("metadata",), "has no metadata", "write `metadata: {name: …}`")
        return
    called = metadata.get("name")
    if called is None and "generateName" in metadata:
        advice = "give it a name: what is applied again must be found again"
        yield Flaw(("metadata", "generateName"), "has a generateName only", advice)
    elif called is None or called == "":
        yield Flaw(("metadata", "name"), "has no metadata.name", "give it a name")
    elif not isinstance(called, str):
        yield Flaw(("metadata", "name"), "metadata.name is no text", "put it in quotes, or write `| quote`")
    if not isinstance(metadata.get("namespace") or "", str):
        yield Flaw(("metadata", "namespace"), "metadata.namespace is no text", "put it in quotes")


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[Flaw]:
    """Look through an object for mappings of texts, and for variables of containers."""
    if isinstance(value, list):
        for place, one in enumerate(value):
            yield from _texts(one, (*path, place))
    elif isinstance(value, dict):
        for name, one in value.items():
            if name in _TEXTS:
                yield from _only_texts(one, (*path, name))
            elif name == "env" and isinstance(one, list):
                yield from _variables(one, (*path, name))
            elif name not in ("data", "stringData"):
                yield from _texts(one, (*path, name))


def _only_texts(value: Any, path: tuple[str | int, ...]) -> Iterator[Flaw]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _not_text(one, (*path, name))


def _variables(variables: list[Any], path: tuple[str | int, ...]) -> Iterator[Flaw]:
    for place, one in enumerate(variables):
        if isinstance(one, dict) and "value" in one:
            yield from _not_text(one["value"], (*path, place, "value"))


def _not_text(value: Any, path: tuple[str | int, ...]) -> Iterator[Flaw]:
    if value is not None and not isinstance(value, str):
        kind = (
            "true or false"
            if isinstance(value, bool)
            else "a number"
            if isinstance(value, int | float)
            else "no text"
        )
        where = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path).removeprefix(".")
        yield Flaw(path, f"{where} is {kind}, and must be text", "put it in quotes, or write `| quote`")
