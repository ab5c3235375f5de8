"""Routes about the catalogue of workflows."""

import msgspec

from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.inquiry.remedies.catalogue import Catalogue
from stellwerk.inquiry.remedies.workflow import Workflow
from stellwerk.interfaces.incidents import remedies_wire as wire
from stellwerk.interfaces.incidents.errors import malformed, validation
from stellwerk.interfaces.incidents.sessions import PREFIX
from stellwerk.trust.scopes import Scope

TAG = "workflows"
WORKFLOWS = PREFIX + "/workflows"
WORKFLOW = WORKFLOWS + "/{workflow_id}"


class CatalogueRoutes:
    """See the module."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path=WORKFLOWS,
                handle=self.list,
                scope=Scope.INCIDENTS_READ,
                summary="List the catalogue",
                tag=TAG,
                gives=wire.WorkflowList,
            ),
            Operation(
                method="GET",
                path=WORKFLOW,
                handle=self.get,
                scope=Scope.INCIDENTS_READ,
                summary="Show a workflow with the schema of its parameters",
                tag=TAG,
                gives=wire.CatalogueWorkflow,
            ),
            Operation(
                method="PUT",
                path=WORKFLOW,
                handle=self.put,
                scope=Scope.INCIDENTS_ADMIN,
                summary="Add a workflow, or replace it",
                tag=TAG,
                takes=wire.CatalogueWorkflow,
                gives=wire.CatalogueWorkflow,
                misses=False,
            ),
            Operation(
                method="DELETE",
                path=WORKFLOW,
                handle=self.remove,
                scope=Scope.INCIDENTS_ADMIN,
                summary="Remove a workflow that was added; a packaged namesake shows again",
                tag=TAG,
                gives=wire.Removed,
            ),
        ]

    async def list(self, call: Call[None, None]) -> Answer:
        found = await self._catalogue.list()
        return wire.WorkflowList(workflows=[_shown(one) for one in found], total=len(found))

    async def get(self, call: Call[None, None]) -> Answer:
        return _shown(await self._catalogue.get(call.path["workflow_id"]))

    async def put(self, call: Call[wire.CatalogueWorkflow, None]) -> Answer:
        if call.body.id != call.path["workflow_id"]:
            raise validation("id is another one than in the path")
        try:
            workflow = msgspec.convert(msgspec.to_builtins(call.body), Workflow)
        except msgspec.ValidationError as error:
            raise malformed(str(error)) from None
        return _shown(await self._catalogue.put(workflow, call.principal))

    async def remove(self, call: Call[None, None]) -> Answer:
        workflow_id = call.path["workflow_id"]
        await self._catalogue.remove(workflow_id, call.principal)
        return wire.Removed(workflow_id, removed=True)


def _shown(workflow: Workflow) -> wire.CatalogueWorkflow:
    whole = msgspec.to_builtins(workflow)
    return msgspec.convert(whole, wire.CatalogueWorkflow)
