"""From an application, parameters and a cluster's kinds to the objects that should be there.

Everything is rendered afresh each time, and file by file: what is wrong with one file is a fault of its
service, and the others are rendered all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stellwerk.release.application.application import Application
from stellwerk.release.documents import Document, Malformed, read_documents
from stellwerk.release.fault import Fault
from stellwerk.release.objects import DEFAULT_NAMESPACE, Body, Key, Manifest, content_hash, group_of, key_of
from stellwerk.release.parameters.merging import global_view, service_view
from stellwerk.release.rendering.checks import flaws
from stellwerk.release.rendering.kinds import ClusterInfo, is_namespaced
from stellwerk.release.rendering.late import LateRenderer
from stellwerk.release.rendering.renderer import Renderer, RenderFailure, Source


@dataclass(frozen=True, slots=True)
class AppInfo:
    """What templates may know of the deployment: `app.name`, `app.instance`, `app.version`."""

    name: str
    instance: str = "default"
    version: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """A template that stands for one object of the application's, or beside them."""

    key: str
    """`namespace/Kind/name`, as the object is called now."""
    text: str
    service: str


def named_after(key: str) -> str:
    """Return what an override is called where its objects and faults name their file."""
    return f"override of {key}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the named services want, in the order of services and files, and what could not be rendered."""

    manifests: tuple[Manifest, ...]
    faults: tuple[Fault, ...]
    """Those of the application's files that concern these services, then those of rendering."""


def render(
    application: Application,
    services: Sequence[str],
    spec: Mapping[str, Any],
    *,
    app: AppInfo,
    secret_key: bytes,
    cluster: ClusterInfo | None = None,
    renderer: Renderer | None = None,
    overrides: Sequence[Override] = (),
) -> Rendered:
    """Render the named services with stored parameters. `secret_key` hashes the values of Secrets."""
    run = _Run(application, spec, app, cluster or ClusterInfo(), renderer or LateRenderer())
    found = [one for service in services for one in run.service(service)]
    found = run.overridden(found, [one for one in overrides if one.service in services])
    faults = [fault for fault in application.faults if fault.service in ("", *services)]
    manifests = run.manifests(found, secret_key)
    return Rendered(tuple(manifests), (*faults, *run.faults))


@dataclass(frozen=True, slots=True)
class _Found:
    """An object in its file, before its namespace is known."""

    service: str
    file: str
    line: int
    body: Body


class _Run:
    """One rendering; collects faults."""

    def __init__(
        self,
        application: Application,
        spec: Mapping[str, Any],
        app: AppInfo,
        cluster: ClusterInfo,
        renderer: Renderer,
    ) -> None:
        from stellwerk.release.rendering.values import Files, wrap

        self._wrap = wrap
        self.faults: list[Fault] = []
        self._application = application
        self._cluster = cluster
        self._renderer = renderer
        self._views = {name: service_view(application, spec, name) for name in application.services}
        self._shared = {
            "global": wrap(global_view(application, spec), "global"),
            "services": wrap(self._views, "services"),
            "files": Files(application.files),
            "app": wrap({"name": app.name, "instance": app.instance, "version": app.version}, "app"),
            "cluster": cluster,
        }

    def service(self, name: str) -> Iterator[_Found]:
        """List the objects of a service."""
        values = self._values(name)
        for file in self._application.services[name].manifests:
            try:
                text = self._application.files[file].decode()
            except UnicodeDecodeError:
                self._fault(
                    name, file, None, "is not UTF-8", "save it as UTF-8; data needs another ending than .yaml"
                )
                continue
            yield from self._objects(name, Source(file, text, self._application.files), values)

    def overridden(self, found: list[_Found], overrides: Sequence[Override]) -> list[_Found]:
        """Put overrides in the place of the objects that they are for."""
        for override in overrides:
            source = Source(named_after(override.key), override.text, self._application.files)
            objects = list(self._objects(override.service, source, self._values(override.service)))
            if objects:
                found = [one for one in found if str(self._key(one)) != override.key] + objects
        return found

    def manifests(self, found: Sequence[_Found], secret_key: bytes) -> Iterator[Manifest]:
        """Fill in namespaces, and leave out the second of two objects with one key."""
        defined = dict(_definitions(found))
        seen: dict[Key, _Found] = {}
        for one in found:
            body = self._placed(one, defined)
            key = key_of(body)
            first = seen.setdefault(key, one)
            if first is not one:
                message = f"{key} is in {first.file}:{first.line} already"
                self._fault(one.service, one.file, one.line, message, "give one of them another name")
                continue
            yield Manifest(
                key, body["apiVersion"], one.service, one.file, body, content_hash(body, secret_key)
            )

    def _values(self, service: str) -> dict[str, Any]:
        view = {"name": service} | self._views.get(service, {})
        return {**self._shared, "service": self._wrap(view, "service")}

    def _objects(self, service: str, source: Source, values: Mapping[str, Any]) -> Iterator[_Found]:
        try:
            text = self._renderer.render(source, values)
            documents = list(read_documents(text))
        except RenderFailure as failure:
            self._fault(service, failure.file, failure.line, failure.message, failure.advice)
            return
        except Malformed as error:
            line = self._line(source, values, error.line)
            self.faults.append(Fault(source.file, line, error.message, error.advice, service, malformed=True))
            return
        for document in documents:
            yield from self._sound(service, source, values, document)

    def _sound(
        self, service: str, source: Source, values: Mapping[str, Any], document: Document
    ) -> Iterator[_Found]:
        for path, body in _items(document.value):
            found = list(flaws(body))
            for flaw in found:
                line = self._line(source, values, document.line_of((*path, *flaw.path)))
                self._fault(service, source.file, line, flaw.message, flaw.advice)
            if not found:
                yield _Found(service, source.file, document.line_of(path), body)

    def _line(self, source: Source, values: Mapping[str, Any], line: int) -> int | None:
        return self._renderer.line_in_source(source, values, line)

    def _key(self, one: _Found) -> Key:
        return key_of(self._placed(one, {}))

    def _placed(self, one: _Found, defined: Mapping[tuple[str, str], bool]) -> Body:
        """Return the body with a namespace where its kind has one, and without where it has none."""
        metadata = one.body["metadata"]
        version, kind = one.body["apiVersion"], one.body["kind"]
        if is_namespaced(version, kind, cluster=self._cluster, defined=defined):
            own = self._views.get(one.service, {}).get("namespace")
            namespace = metadata.get("namespace") or own or DEFAULT_NAMESPACE
            return one.body | {"metadata": metadata | {"namespace": str(namespace)}}
        return one.body | {"metadata": {name: metadata[name] for name in metadata if name != "namespace"}}

    def _fault(self, service: str, file: str, line: int | None, message: str, advice: str) -> None:
        self.faults.append(Fault(file, line, message, advice, service))


def _items(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """List the objects of a document: itself, or the items of a List."""
    if isinstance(value, dict) and value.get("kind") == "List" and isinstance(value.get("items"), list):
        for place, item in enumerate(value["items"]):
            yield ("items", place), item
    else:
        yield (), value


def _definitions(found: Sequence[_Found]) -> Iterator[tuple[tuple[str, str], bool]]:
    """List the kinds that are defined by what is rendered, and whether they are namespaced."""
    for one in found:
        if one.body["kind"] == "CustomResourceDefinition" and group_of(one.body["apiVersion"]):
            spec = one.body.get("spec")
            names = spec.get("names") if isinstance(spec, dict) else None
            if isinstance(spec, dict) and isinstance(names, dict):
                yield (str(spec.get("group")), str(names.get("kind"))), spec.get("scope") != "Cluster"
