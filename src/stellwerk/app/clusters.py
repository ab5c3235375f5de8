"""Which cluster the settings select."""

import os

from stellwerk.app.errors import CannotStart
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.unselected import UnselectedCluster
from stellwerk.settings import ConductorSettings


def selected_cluster(settings: ConductorSettings) -> Cluster:
    """Return the cluster; nothing is asked of it yet. Raises CannotStart for files that cannot be used."""
    choice = settings.cluster or ("kubeconfig" if settings.kubeconfig else "none")
    if choice == "none":
        return UnselectedCluster()
    if choice == "sandbox":
        # Each is loaded where it is wanted: the client of a real one would cost every start.
        from stellwerk.release.clusters.sandbox.sandbox import Sandbox

        return Sandbox()
    return _kubernetes(choice, settings)


def _kubernetes(choice: str, settings: ConductorSettings) -> Cluster:
    from stellwerk.release.clusters.kubernetes.access import Misconfigured
    from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig, in_cluster
    from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster

    try:
        if choice == "in-cluster":
            # What Kubernetes says there about itself is no setting of ours.
            return KubernetesCluster(in_cluster(os.environ))
        return KubernetesCluster(from_kubeconfig(settings.kubeconfig or "", settings.context))
    except Misconfigured as error:
        raise CannotStart(f"conductor.cluster: {error}") from error
