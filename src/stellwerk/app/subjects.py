"""The subjects, in the order in which they start: each may use those above it."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from stellwerk.app.errors import CannotStart
from stellwerk.app.extensions import Extensions
from stellwerk.app.inquiring import Inquiry, Neighbours, start_inquiry
from stellwerk.app.releasing import Releasing, start_releasing
from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.fleet.service import Fleet
from stellwerk.http.audit import RefusalAudit
from stellwerk.http.outbound import Outbound
from stellwerk.interfaces.nodes.dialler import OutboundDialler
from stellwerk.interfaces.nodes.telling import WebhookTeller
from stellwerk.journal.pruning import Pruner
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import OutboundSettings, Settings
from stellwerk.traffic.memory import Memory
from stellwerk.traffic.restarting import Restarting
from stellwerk.traffic.service import Traffic
from stellwerk.traffic.webhooks import Webhooks
from stellwerk.trust.authority.roots import RootUnusable
from stellwerk.trust.certificates.service import LOOPBACK, Identities
from stellwerk.trust.connectors.service import Connectors
from stellwerk.trust.service import Keys
from stellwerk.trust.vault.cipher import KeyUnusable, load_key
from stellwerk.trust.vault.service import Secrets
from stellwerk.work.service import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """Everything that interfaces stand over, started."""

    settings: Settings
    clock: Clock
    extensions: Extensions
    database: Database
    journal: Journal
    pruner: Pruner
    keys: Keys
    connectors: Connectors
    fleet: Fleet
    work: Work
    dialler: OutboundDialler
    traffic: Traffic
    webhooks: Webhooks
    restarting: Restarting
    memory: Memory
    audit: RefusalAudit
    outbound: Outbound
    identities: Identities
    secrets: Secrets
    deployments: Deployments
    releasing: Releasing
    inquiry: Inquiry

    def loops(self) -> Iterator[Loop]:
        """Go through all that runs in the background."""
        for subject in (self.journal, self.keys, self.fleet, self.work, self.traffic, self.identities):
            yield from subject.loops
        yield from self.connectors.loops
        yield self.webhooks.loop
        yield from self.inquiry.loops
        yield self.restarting.loop
        yield from self.releasing.loops
        yield self.pruner.loop
        yield self.audit.loop


async def start_subjects(
    starting: contextlib.AsyncExitStack,
    database: Database,
    settings: Settings,
    clock: Clock,
    extensions: Extensions,
) -> Subjects:
    """Make and start them; `starting` stops them in the opposite order. Raises CannotStart."""
    journal = Journal(database, settings.journal, clock)
    starting.push_async_callback(journal.stop)
    keys = Keys(database, journal, settings.access, clock)
    connectors = Connectors(database, journal, settings.connector, settings.access, clock)
    fleet = Fleet(
        database, journal, settings.fleet, clock, node_interval_s=settings.traffic.heartbeat_interval_s
    )
    work = Work(database, journal, fleet, settings.work, clock)
    audit = RefusalAudit(journal, clock)
    pruner = Pruner(database, journal, clock, holder=uuid.uuid4().hex)
    outbound = Outbound(settings.outbound)
    # Connections of their own: slow agents shall not keep pushes waiting, nor the other way round.
    agents = Outbound(_agents(settings), connections=0)
    dialler = OutboundDialler(agents)
    traffic = Traffic(database, journal, fleet, work, dialler, settings=settings.traffic, clock=clock)
    restarting = Restarting(
        database,
        journal,
        fleet,
        work,
        dialler,
        options=traffic.options,
        settings=settings.connector,
        clock=clock,
    )
    for subject in (keys, connectors, fleet, work, audit, pruner, outbound, agents, traffic, restarting):
        await subject.start()
        starting.push_async_callback(subject.stop)
    identities = _identities(database, journal, settings, clock)
    key = await _open_authority(starting, identities, settings)
    # Over the connections of pushes: both call addresses that callers named, and few at once.
    teller = WebhookTeller(OutboundDialler(outbound), settings.traffic.webhook_timeout_s)
    webhooks = Webhooks(database, journal, work, teller, key=key, settings=settings.traffic, clock=clock)
    await webhooks.start()
    starting.push_async_callback(webhooks.stop)
    deployments = Deployments(database, journal, fleet, identities, settings=settings.fleet, clock=clock)
    await deployments.start()
    releasing = await start_releasing(
        starting, database, journal, settings, clock=clock, key=key, extensions=extensions
    )
    neighbours = Neighbours(releasing=releasing, fleet=fleet, work=work, deployments=deployments, keys=keys)
    inquiry = await start_inquiry(
        starting,
        database,
        journal,
        settings,
        clock=clock,
        key=key,
        neighbours=neighbours,
        detective=extensions.detective,
    )
    return Subjects(
        settings=settings,
        clock=clock,
        extensions=extensions,
        database=database,
        journal=journal,
        pruner=pruner,
        keys=keys,
        connectors=connectors,
        fleet=fleet,
        work=work,
        dialler=dialler,
        traffic=traffic,
        webhooks=webhooks,
        restarting=restarting,
        memory=Memory(database, journal, clock),
        audit=audit,
        outbound=outbound,
        identities=identities,
        secrets=Secrets(database, journal, key, clock),
        deployments=deployments,
        releasing=releasing,
        inquiry=inquiry,
    )


def _agents(settings: Settings) -> OutboundSettings:
    """Return the policy for calls of agents: the same networks, their own time and size."""
    return replace(
        settings.outbound,
        total_timeout_s=settings.traffic.answer_s,
        response_bytes=settings.traffic.answer_bytes,
    )


def _identities(database: Database, journal: Journal, settings: Settings, clock: Clock) -> Identities:
    names = dict.fromkeys((*LOOPBACK, settings.server.host, *settings.server.names))
    return Identities(database, journal, settings.trust, settings.data_dir, clock, server_names=tuple(names))


async def _open_authority(
    starting: contextlib.AsyncExitStack, identities: Identities, settings: Settings
) -> bytes:
    """Start the authority; return the key of the secrets at rest."""
    folder = settings.trust.authority_dir or settings.data_dir / "authority"
    try:
        await identities.start()
        starting.push_async_callback(identities.stop)
        # Beside the roots, because replicas share that folder.
        return await asyncio.to_thread(load_key, folder / "secrets.key")
    except (RootUnusable, KeyUnusable, OSError) as error:
        raise CannotStart(str(error)) from error
