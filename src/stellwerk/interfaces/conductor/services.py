"""Routes about services and what they ask of the cluster."""

import re

from msgspec import UNSET

from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.conductor.errors import faults_by_place, invalid
from stellwerk.interfaces.conductor.wire import services as wire
from stellwerk.interfaces.conductor.wire.form import InstanceQuery
from stellwerk.release.application.judging import Judged
from stellwerk.release.deploying import Deployer
from stellwerk.release.environment import Variable, environment
from stellwerk.release.listing import Listed, list_services
from stellwerk.release.requiring import assess
from stellwerk.trust.scopes import Scope

TAG = "services"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")


class ServiceRoutes:
    """See the module."""

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/api/services",
                handle=self.list,
                scope=Scope.SERVICES_READ,
                summary="List the services, and which are deployed",
                tag=TAG,
                query=InstanceQuery,
                gives=wire.ListedServices,
                refuses=(404,),
            ),
            Operation(
                method="GET",
                path="/api/service/{namespace}/{name}",
                handle=self.environment,
                scope=Scope.SERVICES_READ,
                summary="List the environment variables of a deployed service",
                tag=TAG,
                gives=wire.ServiceEnvironment,
            ),
            Operation(
                method="GET",
                path="/api/cluster/requirements",
                handle=self.requirements,
                scope=Scope.SERVICES_READ,
                summary="Say whether the cluster meets what the application asks of it",
                tag=TAG,
                gives=wire.ShownRequirements,
            ),
        ]

    async def list(self, call: Call[None, InstanceQuery]) -> Answer:
        found = await list_services(self._deployer, call.query.instance)
        return wire.ListedServices(services=[_listed(one) for one in found])

    async def environment(self, call: Call[None, None]) -> Answer:
        namespace, name = call.path["namespace"], call.path["name"]
        if not _LABEL.match(namespace):
            raise invalid(f"{namespace!r} cannot be a namespace", code="invalid_namespace")
        if not _SUBDOMAIN.match(name):
            raise invalid(f"{name!r} cannot be a service's name", code="invalid_service_name")
        deployer = self._deployer
        found = await environment(deployer.cluster, deployer.source.name, namespace, name)
        return wire.ServiceEnvironment(name=name, env=[_variable(one) for one in found])

    async def requirements(self, call: Call[None, None]) -> Answer:
        assessed = await assess(await self._deployer.source.read(), self._deployer.cluster)
        return wire.ShownRequirements(
            requirements=[_requirement(one) for one in assessed.judged], overall=assessed.overall.value
        )


def _listed(one: Listed) -> wire.ListedService:
    return wire.ListedService(
        name=one.name,
        namespace=one.namespace,
        port=one.port,
        installed=one.installed,
        described=one.described,
        groups=list(one.groups),
        faults=faults_by_place(one.faults),
    )


def _variable(one: Variable) -> wire.EnvironmentVariable:
    return wire.EnvironmentVariable(
        name=one.name,
        value=UNSET if one.value is None else one.value,
        source=UNSET if one.source is None else one.source,
    )


def _requirement(one: Judged) -> wire.ShownRequirement:
    return wire.ShownRequirement(
        name=one.requirement.name,
        description=one.requirement.description,
        status=one.verdict.value,
        message=one.message,
        required=one.requirement.required,
    )
