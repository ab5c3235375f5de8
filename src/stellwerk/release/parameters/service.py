"""The parameters of an application: read, checked, changed, and taken back.

A change is checked as what would hold afterwards, with the application's defaults beneath it: so a schema may
require what the defaults give. Nothing is stored of what is refused.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from stellwerk.release.application.application import Application
from stellwerk.release.application.schema import BUILT_IN, Violation
from stellwerk.release.parameters.checking import violations
from stellwerk.release.parameters.merging import effective, merge, service_view
from stellwerk.release.parameters.model import (
    DEFAULT_INSTANCE,
    Action,
    Document,
    InstanceExists,
    InvalidInstance,
    InvalidParameters,
    Note,
    StaleParameters,
    UnknownInstance,
    UnknownVersion,
    Version,
)
from stellwerk.release.parameters.store import History, ParameterStore
from stellwerk.release.spelling import did_you_mean
from stellwerk.trust.principal import Principal

LONGEST_WHY = 1_000
_TRIES = 5
_INSTANCE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")

Change = Callable[[Document | None], Mapping[str, Any]]
"""Makes the new document of what is stored."""


class Parameters:
    """Every instance's parameters. Any method may raise DatabaseUnavailable, or what a cluster raises."""

    def __init__(
        self, application: Callable[[], Application], store: ParameterStore, history: History
    ) -> None:
        self._application = application
        self._store = store
        self._history = history

    async def get(self, instance: str = DEFAULT_INSTANCE) -> Document:
        """Return what is stored, or, with version 0, what holds where nothing is."""
        found = await self._store.read(checked_instance(instance))
        return found or Document(instance, effective(self._application(), {}), 0, "0")

    async def replace(
        self,
        instance: str,
        spec: Mapping[str, Any],
        *,
        principal: Principal,
        why: str = "",
        if_match: str | None = None,
    ) -> Document:
        """Store a document in place of whatever there is.

        `if_match` is the etag that the caller has read, `*` for any that is stored. Raises InvalidParameters,
        StaleParameters, InvalidInstance.
        """
        note = Note(Action.REPLACED, principal.id, why[:LONGEST_WHY])
        return await self._change(instance, lambda _: spec, note, if_match)

    async def patch(
        self,
        instance: str,
        changes: Mapping[str, Any],
        *,
        principal: Principal,
        why: str = "",
        if_match: str | None = None,
    ) -> Document:
        """Merge changes into what is stored (RFC 7396: null takes away). Raises as `replace` does."""

        def change(before: Document | None) -> Mapping[str, Any]:
            return merge({} if before is None else before.spec, changes)

        return await self._change(
            instance, change, Note(Action.MERGED, principal.id, why[:LONGEST_WHY]), if_match
        )

    async def restore(
        self, instance: str, version: int, *, principal: Principal, why: str = "", if_match: str | None = None
    ) -> Document:
        """Store an older version again. Raises UnknownVersion, and as `replace` does."""
        old = await self._history.one(checked_instance(instance), version)
        if old is None or old.spec is None:
            raise UnknownVersion(f"{instance} has no version {version} to restore")
        spec = old.spec
        note = Note(Action.RESTORED, principal.id, why[:LONGEST_WHY], version)
        return await self._change(instance, lambda _: spec, note, if_match)

    async def put_back(self, instance: str, spec: Mapping[str, Any], *, by: str, why: str) -> None:
        """Store what a release was made with. Unchecked: it was deployed once, whatever the schema says now.

        Raises StaleParameters where others change them at the same time, again and again.
        """
        for attempt in range(_TRIES):
            before = await self._store.read(checked_instance(instance))
            if (before.spec if before else {}) == spec:
                return
            note = Note(Action.RESTORED, by, why[:LONGEST_WHY])
            try:
                await self._store.write(instance, spec, before=before, note=note)
            except StaleParameters:
                if attempt + 1 == _TRIES:
                    raise
            else:
                return

    async def history(self, instance: str = DEFAULT_INSTANCE, limit: int = 100) -> list[Version]:
        """Return the versions of an instance, newest first; of a removed one as well."""
        return await self._history.past(checked_instance(instance), limit)

    async def version(self, instance: str, version: int) -> Version:
        """Return one version. Raises UnknownVersion."""
        found = await self._history.one(checked_instance(instance), version)
        if found is None:
            raise UnknownVersion(f"{instance} has no version {version}")
        return found

    async def instances(self) -> list[str]:
        """Return the names of all instances; `default` is always one."""
        return sorted({DEFAULT_INSTANCE, *await self._store.names()})

    async def create(self, name: str | None = None, *, principal: Principal, why: str = "") -> Document:
        """Store a copy of `default` under a name; None takes the first free `config-N`.

        Raises InstanceExists, InvalidInstance.
        """
        taken = set(await self.instances())
        wanted = name or next(f"config-{n}" for n in range(1, len(taken) + 2) if f"config-{n}" not in taken)
        if await self._store.read(checked_instance(wanted)) is not None:
            raise InstanceExists(f"There is an instance {wanted} already")
        default = await self._store.read(DEFAULT_INSTANCE)
        spec = effective(self._application(), {}) if default is None else default.spec
        note = Note(Action.COPIED, principal.id, why[:LONGEST_WHY])
        try:
            written = await self._store.write(wanted, spec, before=None, note=note)
        except StaleParameters:
            raise InstanceExists(f"There is an instance {wanted} already") from None
        return written or await self.get(wanted)

    async def remove(
        self, instance: str, *, principal: Principal, why: str = "", if_match: str | None = None
    ) -> None:
        """Forget what is stored; the history stays. Raises UnknownInstance, StaleParameters."""
        before = await self._store.read(checked_instance(instance))
        if before is None:
            raise UnknownInstance(f"Nothing is stored for {instance}")
        if if_match not in (None, "*", before.etag):
            raise StaleParameters(instance, before.etag)
        note = Note(Action.REMOVED, principal.id, why[:LONGEST_WHY])
        await self._store.write(instance, None, before=before, note=note)

    def schema(self) -> Mapping[str, Any]:
        """Return the schema by which documents are checked."""
        return self._application().schema or BUILT_IN

    def validate(self, spec: Any) -> list[Violation]:
        """List what would be refused, each with its path."""
        return list(violations(self._application(), spec))

    def hints(self, spec: Mapping[str, Any]) -> list[Violation]:
        """List what is allowed and yet has no effect: services that the application does not have."""
        application = self._application()
        services = spec.get("services")
        known = [*application.services, *application.groups]
        return [
            Violation(f"services.{name}", f"is no service or group; {did_you_mean(name, known)}")
            for name in (services if isinstance(services, Mapping) else ())
            if name not in known
        ]

    def merged(self, spec: Mapping[str, Any], service: str) -> dict[str, Any]:
        """Return everything that holds for one service, as its templates see it."""
        return service_view(self._application(), spec, service)

    async def _change(self, instance: str, change: Change, note: Note, if_match: str | None) -> Document:
        checked_instance(instance)
        for _ in range(_TRIES):
            before = await self._store.read(instance)
            etag = "0" if before is None else before.etag
            if if_match not in (None, etag) and not (if_match == "*" and before is not None):
                raise StaleParameters(instance, etag)
            spec = change(before)
            if found := self.validate(spec):
                raise InvalidParameters(found)
            try:
                written = await self._store.write(instance, spec, before=before, note=note)
            except StaleParameters:
                # Only who named a version cares that another one came in between.
                if if_match is not None:
                    raise
                continue
            return written or await self.get(instance)
        raise StaleParameters(instance, "")


def checked_instance(name: str) -> str:
    """Return the name if it can be one of an instance. Raises InvalidInstance."""
    if not _INSTANCE.match(name):
        raise InvalidInstance(f"{name!r} cannot be an instance: up to 63 of a-z, 0-9 and - are allowed")
    return name
