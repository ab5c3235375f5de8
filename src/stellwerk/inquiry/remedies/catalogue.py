"""The catalogue: packaged workflows, those of a folder of the operator, and those that were added by the API.

A namesake of a later source replaces one of an earlier. Files are read once: the operator's at the start, so
that a fault ends it; the packaged ones, which tests know to be good, when somebody asks.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.inquiry.remedies import store
from stellwerk.inquiry.remedies.remedy import UnknownWorkflow
from stellwerk.inquiry.remedies.workflow import InvalidWorkflow, Workflow, check
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.trust.principal import Principal

PACKAGED = "workflows"


class Catalogue:
    """See the module. Methods may raise DatabaseUnavailable."""

    def __init__(
        self, database: Database, journal: Journal, clock: Clock, *, workflows: Iterable[Workflow]
    ) -> None:
        """`workflows` are the operator's own."""
        self._database = database
        self._journal = journal
        self._clock = clock
        self._own = tuple(workflows)

    @cached_property
    def _files(self) -> dict[str, Workflow]:
        return {one.id: one for one in (*packaged(), *self._own)}

    async def list(self) -> Sequence[Workflow]:
        """List all workflows, by id."""
        added = await self._database.read(store.workflows)
        known = self._files | {one.id: one for one in added}
        return [known[name] for name in sorted(known)]

    async def get(self, workflow_id: str) -> Workflow:
        """Return a workflow. Raises UnknownWorkflow."""
        for one in await self.list():
            if one.id == workflow_id:
                return one
        raise UnknownWorkflow(workflow_id)

    async def put(self, workflow: Workflow, by: Principal) -> Workflow:
        """Add a workflow, or replace it. Raises InvalidWorkflow."""
        check(workflow)
        now_us = self._clock.now_us()

        def unit() -> Unit[None]:
            yield from store.put_workflow(workflow, now_us, by.id)
            yield from append(_changed("incident.workflow.put", workflow.id, by), now_us)

        await self._database.write(unit)
        self._journal.committed()
        return workflow

    async def remove(self, workflow_id: str, by: Principal) -> None:
        """Remove a workflow that was added; one of a file shows again. Raises UnknownWorkflow."""
        now_us = self._clock.now_us()

        def unit() -> Unit[bool]:
            removed = yield from store.remove_workflow(workflow_id)
            if removed:
                yield from append(_changed("incident.workflow.removed", workflow_id, by), now_us)
            return removed

        if not await self._database.write(unit):
            raise UnknownWorkflow(workflow_id)
        self._journal.committed()


def packaged() -> list[Workflow]:
    """Read the workflows that come with the product."""
    folder = files("stellwerk.inquiry.remedies") / PACKAGED
    return [
        _read(one.name, one)
        for one in sorted(folder.iterdir(), key=lambda one: one.name)
        if _is_yaml(one.name)
    ]


def of_folder(folder: Path) -> list[Workflow]:
    """Read an operator's workflows. Raises InvalidWorkflow, which names the file, and OSError."""
    return [_read(str(one), one) for one in sorted(folder.iterdir()) if _is_yaml(one.name)]


def _is_yaml(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _read(name: str, file: Traversable | Path) -> Workflow:
    import yaml

    try:
        return check(msgspec.convert(yaml.safe_load(file.read_text("utf-8")), Workflow))
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError, InvalidWorkflow) as error:
        raise InvalidWorkflow(f"{name}: {error}") from error


def _changed(kind: str, workflow_id: str, by: Principal) -> Event:
    data = msgspec.json.encode({"workflow_id": workflow_id}).decode()
    return Event(kind, Retention.AUDIT, principal=by.id, data=data)
