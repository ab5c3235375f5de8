"""Settings of what deploys services onto a cluster."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ConductorSettings:
    """Which application is deployed, and where to."""

    manifests: Path | None = None
    """Folder of the application that is served: a folder of manifests each service. Unset serves none."""
    application: str | None = None
    """Name of the application, by which its objects are known in a cluster. Unset takes that of its
    `stellwerk.yaml`, else `conductor`. Under another name nothing that is deployed is ours any more."""
    cluster: str | None = None
    """`kubeconfig`, `in-cluster`, `sandbox` (a stand-in in this process), or `none`. Unset takes the
    kubeconfig if one is named, else none: nobody's current context is ever used by accident."""
    kubeconfig: str | None = None
    """Kubeconfig file, or several as in PATH; the variable KUBECONFIG names it as well."""
    context: str | None = None
    """Context of the kubeconfig. Unset takes its current one."""
    wait_s: float = 60.0
    """How long an answer waits for the end of its operation unless the request says otherwise: the published
    interface's minute."""
    deadline_s: float = 600.0
    """Until an operation gives up waiting for health: images are pulled and volumes made in minutes."""
    releases: int = 20
    """Releases of an instance that are kept to go back to: some weeks of work, some megabytes."""
    gate: bool = False
    """Whether `up` is refused while the cluster does not meet a required entry of `requirements.yaml`. Off,
    as published: they only inform."""
    reconcile: str = "off"
    """What is done about drift, which watching sees and tells in any case: nothing more (`off`), a comparison
    of everything every five minutes (`report`), or that and a `repair`. Off, because a repair undoes what
    somebody did by hand, perhaps for a reason."""


@dataclass(frozen=True, slots=True)
class ParametersSettings:
    """Where the parameters of applications are the truth."""

    store: str = "database"
    """`database`, or `crd`: a custom resource in the cluster, an object for each instance. The history is in
    the database either way."""
    namespace: str = "default"
    """Namespace of the custom resources: the published one."""
    group: str = "conductor.io"
    """API group of the custom resource."""
    version: str = "v1alpha1"
    """API version of the custom resource."""
    plural: str = "deploymentparameters"
    """Name of the custom resource in paths."""
