"""Deployment of an application: its parts, and what each needs of the others."""

import contextlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from stellwerk.app.clusters import selected_cluster
from stellwerk.app.extensions import Extensions
from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.release.application.schema import BUILT_IN
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.deploying import Deployer
from stellwerk.release.operations.sealing import Sealer
from stellwerk.release.operations.service import Operations
from stellwerk.release.operations.settling import Settling
from stellwerk.release.operations.tools import Tools
from stellwerk.release.overriding import Overrides
from stellwerk.release.parameters.cluster_store import ClusterStore
from stellwerk.release.parameters.definition import Resource
from stellwerk.release.parameters.restoring import Restorer
from stellwerk.release.parameters.service import Parameters
from stellwerk.release.parameters.store import DatabaseStore, History, ParameterStore
from stellwerk.release.rendering.late import LateRenderer
from stellwerk.release.source import Source
from stellwerk.release.watching.reconciling import Mode, Reconciler
from stellwerk.release.watching.service import Watching
from stellwerk.settings import ParametersSettings, Settings


@dataclass(frozen=True, slots=True)
class Releasing:
    """Everything that deploys, started."""

    cluster: Cluster
    source: Source
    parameters: Parameters
    operations: Operations
    deployer: Deployer
    watching: Watching
    reconciler: Reconciler

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return (self.operations.loop, self.watching.loop, *self.reconciler.loops)


async def start_releasing(
    starting: contextlib.AsyncExitStack,
    database: Database,
    journal: Journal,
    settings: Settings,
    *,
    clock: Clock,
    key: bytes,
    extensions: Extensions,
) -> Releasing:
    """Make and start it; `key` is that of the secrets at rest. Raises CannotStart."""
    cluster = selected_cluster(settings.conductor)
    starting.push_async_callback(cluster.close)
    source = Source(settings.conductor.manifests, settings.conductor.application)
    history = History(source.name, database, journal, clock)
    parameters = Parameters(source.last, _store(settings.parameters, cluster, source, history), history)
    tools = Tools(
        cluster,
        Settling(cluster, clock),
        Restorer(parameters),
        database,
        journal,
        Sealer(_derived(key, b"stellwerk.release")),
        clock,
        settings.conductor.releases,
    )
    # One process alone has the embedded database: after a kill it takes its own locks back at once.
    holder = "here" if database.engine == "sqlite" else uuid.uuid4().hex
    operations = Operations(tools, holder=holder, callbacks=extensions.callbacks)
    await operations.start_loop()
    starting.push_async_callback(operations.stop)
    watching = Watching(tools, operations, source.name, holder=holder)
    starting.push_async_callback(watching.stop)
    await watching.start()
    reconciler = Reconciler(tools, operations, watching, mode=Mode(settings.conductor.reconcile))
    starting.push_async_callback(reconciler.stop)
    await reconciler.start()
    hashing = _derived(key, b"stellwerk.release.hashes")
    deployer = Deployer(
        source,
        parameters,
        operations,
        cluster,
        overrides=Overrides(database, journal, tools.sealer, clock),
        secret_key=hashing,
        renderer=LateRenderer(extensions.filters),
        callbacks=extensions.callbacks,
        gate=settings.conductor.gate,
    )
    return Releasing(cluster, source, parameters, operations, deployer, watching, reconciler)


def _store(
    settings: ParametersSettings, cluster: Cluster, source: Source, history: History
) -> ParameterStore:
    if settings.store == "database":
        return DatabaseStore(history)
    return ClusterStore(
        cluster,
        history,
        namespace=settings.namespace,
        manager=f"stellwerk-{source.name}",
        resource=Resource(settings.group, settings.version, settings.plural),
        schema=lambda: source.last().schema or BUILT_IN,
    )


def _derived(key: bytes, purpose: bytes) -> bytes:
    """Make a key for one purpose, so that what leaks of one tells nothing of another."""
    return hmac.digest(key, purpose, "sha256")
