"""The units by which a deployment agent joins, changes and leaves, together with its group."""

from collections.abc import Generator
from typing import Any

import msgspec
from msgspec.structs import replace

from stellwerk.database.unit import Unit
from stellwerk.fleet.deployment import store
from stellwerk.fleet.deployment.record import DeploymentAgent, Reported, Target
from stellwerk.fleet.membership import Membership
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append
from stellwerk.trust.enrolment.tokens import Admission, Reason, TokenRefused
from stellwerk.trust.principal import Principal

Revoke = Generator[Any, Any, int]
"""The unit that revokes an agent's certificates."""


class UnknownDeployment(Exception):
    """There is no such deployment agent (any more)."""

    def __init__(self, agent_id: str) -> None:
        super().__init__("Agent not found")
        self.agent_id = agent_id


class NameTaken(Exception):
    """Refuse a name that another agent has."""

    def __init__(self, name: str) -> None:
        super().__init__(f"An agent named {name!r} is already registered")
        self.name = name


class BeyondToken(Exception):
    """Refuse capabilities that the agent's registration token does not allow."""

    def __init__(self, name: str, beyond: list[str]) -> None:
        super().__init__(
            f"The token that admitted {name!r} does not allow {', '.join(beyond)}; "
            "replace the agent with a token that does"
        )


class Applicant(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says when it registers."""

    name: str
    version: str
    capabilities: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    targets: tuple[Target, ...] = ()
    max_tasks: int | None = None
    session: str | None = None


def admit(
    applicant: Applicant, admission: Admission, membership: Membership, revoke: Revoke | None, now_us: int
) -> Unit[DeploymentAgent]:
    """Create the agent that a token admits; the one that was created before for a repeated request.

    `revoke` ends the certificates of the agent that it replaces. Raises NameTaken, TokenRefused, and what the
    fleet refuses.
    """
    if admission.repeated:
        known = yield from store.read(admission.agent_id)
        if known is None or known.deleted_at is not None:
            raise TokenRefused(Reason.USED, "The registration token was used; it admits one agent")
        return known
    if admission.replaces is not None:
        yield from _replace(admission.replaces, applicant.name, membership, revoke, now_us)
    agent = DeploymentAgent(
        agent_id=admission.agent_id,
        name=applicant.name,
        version=applicant.version,
        allowed_capabilities=applicant.capabilities,
        labels=dict(admission.labels),
        targets=applicant.targets,
        max_tasks=applicant.max_tasks,
        session_id=applicant.session,
        token_id=admission.token_id,
        token_capabilities=admission.capabilities,
        registered_at=now_us,
        updated_at=now_us,
    )
    if not (yield from store.insert(agent)):
        raise NameTaken(agent.name)
    yield from membership.join(agent.principal, agent.registration)
    return agent


def change(
    before: DeploymentAgent, after: DeploymentAgent, membership: Membership, by: Principal | None
) -> Unit[DeploymentAgent]:
    """Write what changed over the row as it is now: what somebody else changed meanwhile stays.

    `by` is the operator who did it, None for the agent itself. Raises UnknownDeployment.
    """
    known = yield from _living(before.agent_id)
    fields = {
        name: value
        for name in DeploymentAgent.__struct_fields__
        if (value := getattr(after, name)) != getattr(before, name)
    }
    agent = replace(known, **fields, updated_at=membership.now_us)
    yield from store.update(agent)
    if (agent.registration, agent.condition) != (known.registration, known.condition):
        yield from membership.amend(agent.principal, agent.registration, agent.condition)
    if by is not None:
        yield from append(_audit("deployment_agent.changed", agent, by, sorted(fields)), membership.now_us)
    return agent


def dismiss(agent_id: str, membership: Membership, revoke: Revoke, by: Principal) -> Unit[DeploymentAgent]:
    """Remove the agent for good, its certificates and its membership with it. Raises UnknownDeployment."""
    agent = yield from _living(agent_id)
    gone = replace(agent, deleted_at=membership.now_us, updated_at=membership.now_us)
    yield from store.update(gone)
    yield from revoke
    yield from membership.leave()
    yield from append(_audit("deployment_agent.removed", agent, by, []), membership.now_us)
    return gone


def _replace(
    agent_id: str, name: str, membership: Membership, revoke: Revoke | None, now_us: int
) -> Unit[None]:
    old = yield from store.read(agent_id, lock=True)
    if old is None or old.deleted_at is not None or revoke is None:
        return
    if old.name != name:
        raise TokenRefused(Reason.SCOPE, f"The token replaces the agent named {old.name!r}")
    yield from store.update(replace(old, deleted_at=now_us, updated_at=now_us))
    yield from revoke
    yield from membership.leave()


def _living(agent_id: str) -> Unit[DeploymentAgent]:
    agent = yield from store.read(agent_id, lock=True)
    if agent is None or agent.deleted_at is not None:
        raise UnknownDeployment(agent_id)
    return agent


def _audit(kind: str, agent: DeploymentAgent, by: Principal, fields: list[str]) -> Event:
    data = msgspec.json.encode({"agentId": agent.agent_id, "fields": fields}).decode()
    return Event(kind, Retention.AUDIT, group=agent.name, principal=by.id, data=data)


def check_capabilities(agent: DeploymentAgent) -> None:
    """Raise BeyondToken if the agent is allowed what its token does not allow."""
    if agent.token_capabilities is not None:
        beyond = sorted(set(agent.allowed_capabilities) - set(agent.token_capabilities))
        if beyond:
            raise BeyondToken(agent.name, beyond)


def same_but_for_load(one: Reported, other: Reported) -> bool:
    """Tell whether two reports differ in figures only, which are not worth a transaction."""
    return replace(one, running_tasks=0, clock_skew_s=0.0) == replace(
        other, running_tasks=0, clock_skew_s=0.0
    )
