"""The cluster: whether it answers, what we may do there, and its clock."""

import email.utils
from collections.abc import AsyncIterator, Sequence

import aiohttp

from stellwerk.app.clusters import selected_cluster
from stellwerk.app.doctor.clocks import judge_clock
from stellwerk.app.doctor.finding import Finding
from stellwerk.app.errors import CannotStart
from stellwerk.clock import Clock
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.access import Access, Misconfigured
from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig, in_cluster
from stellwerk.settings import Settings

CHANGES = ("get", "list", "watch", "create", "patch", "delete")
LOOKS = ("get", "list", "watch")
WANTED: dict[Kind, Sequence[str]] = {
    **dict.fromkeys(
        (Kind("ConfigMap"), Kind("Service"), Kind("Deployment", "apps"), Kind("StatefulSet", "apps")), CHANGES
    ),
    **dict.fromkeys((Kind("Pod"), Kind("Event"), Kind("ReplicaSet", "apps")), LOOKS),
}
"""What nearly every application needs, of `deploy/kubernetes/rbac.yaml`; what else it holds, a plan says."""
DEFINED = "DeploymentParameters"
ANSWER_S = 5.0


async def examine_cluster(
    settings: Settings, namespaces: Sequence[str], clock: Clock, environment: dict[str, str]
) -> AsyncIterator[Finding]:
    """Ask the selected cluster; reviews of access are asked for and not stored there."""
    try:
        cluster = selected_cluster(settings.conductor)
    except CannotStart as refused:
        yield Finding.fail("cluster", str(refused), "mend the kubeconfig, or select cluster: none")
        return
    try:
        if settings.conductor.cluster == "none" or cluster.name == "none":
            yield Finding.ok("cluster", "none is selected; nothing is deployed")
            return
        if cluster.simulated:
            yield Finding.warn("cluster", "a simulation in the server", "select a kubeconfig for a real one")
            return
        async for one in _ask(cluster, settings, namespaces):
            yield one
        yield await _clock(_access(settings, environment), clock)
    except (ClusterError, Misconfigured) as error:
        yield Finding.fail("cluster", str(error), "look at conductor.kubeconfig and the API server")
    finally:
        await cluster.close()


async def _ask(cluster: Cluster, settings: Settings, namespaces: Sequence[str]) -> AsyncIterator[Finding]:
    yield Finding.ok("cluster", f"{cluster.name}: Kubernetes {await cluster.version()}")
    for namespace in namespaces:
        yield await _rights(cluster, namespace)
    if settings.parameters.store == "crd":
        kind = Kind(DEFINED, settings.parameters.group, settings.parameters.version)
        if (await cluster.kinds()).find(kind) is None:
            advice = "run: kubectl apply -f deploy/kubernetes/deploymentparameters.yaml"
            yield Finding.fail("cluster.definition", f"{kind} is not defined there", advice)
        else:
            yield Finding.ok("cluster.definition", f"{kind} is defined")


async def _rights(cluster: Cluster, namespace: str) -> Finding:
    missing = [
        f"{verb} {kind}"
        for kind, verbs in WANTED.items()
        for verb in verbs
        if not await cluster.allowed(verb, kind, namespace)
    ]
    if missing:
        return Finding.fail(
            "cluster.rights",
            f"in {namespace} we may not: {', '.join(missing)}",
            "deploy/kubernetes/target.yaml grants it for a namespace; --namespace names yours",
        )
    return Finding.ok("cluster.rights", f"in {namespace} we may deploy")


def _access(settings: Settings, environment: dict[str, str]) -> Access:
    conductor = settings.conductor
    if conductor.cluster == "in-cluster":
        return in_cluster(environment)
    return from_kubeconfig(conductor.kubeconfig or "", conductor.context)


async def _clock(access: Access, clock: Clock) -> Finding:
    """Read the time that the answer to a harmless question carries; credentials are not needed for it."""
    before = clock.now_us()
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=access.tls or False)) as session,
            session.get(
                f"{access.server}/version",
                timeout=aiohttp.ClientTimeout(ANSWER_S),
                proxy=access.proxy,
                allow_redirects=False,
                server_hostname=access.tls_server_name,
            ) as answer,
        ):
            told = answer.headers.get("Date", "")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Finding.warn("clock.cluster", f"not told: {error}", "look at the way to the API server")
    try:
        theirs = email.utils.parsedate_to_datetime(told).timestamp()
    except ValueError:
        return Finding.warn("clock.cluster", "its answers carry no time", "look at both clocks by hand")
    return judge_clock("clock.cluster", theirs, before / 1e6, clock.now_us() / 1e6, grain_s=1.0)
