"""A small application on a simulated or a real cluster, behind a whole control plane."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stellwerk.inquiry.detective import Detective
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.settings import ConductorSettings, Settings
from stellwerk.trust.principal import LOCAL
from support.application import write
from support.kube import version_of
from support.plane import Answer, Caller, Plane, running_plane

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ service.name }}
spec:
  replicas: {{ service.replicas }}
  selector:
    matchLabels: {app: {{ service.name }}}
  template:
    metadata:
      labels: {app: {{ service.name }}}
      annotations: {{ service.podAnnotations | default({}) | to_json }}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: {{ service.image | default("localhost/busybox:1") }}
          imagePullPolicy: IfNotPresent
          command: ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"]
"""
CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ service.name }}-config
data:
  colour: {{ service.colour | default("red") | quote }}
"""
DESCRIPTION = """\
name: shop
groups:
  redis: [redis-master, redis-slave]
"""
FILES: Mapping[str, str] = {
    "stellwerk.yaml": DESCRIPTION,
    "frontend/deployment.yaml": DEPLOYMENT,
    "frontend/config.yaml": CONFIG,
    "redis-master/deployment.yaml": DEPLOYMENT,
    "redis-slave/deployment.yaml": DEPLOYMENT,
}


@dataclass(frozen=True, slots=True)
class Shop:
    """The application, and callers of the control plane that serves it."""

    plane: Plane
    folder: Path
    namespace: str

    @property
    def api(self) -> Caller:
        """The published listener."""
        return self.plane.conductor

    @property
    def cluster(self) -> Cluster:
        """Where it is deployed to."""
        return self.plane.control.subjects.releasing.cluster

    def write(self, files: Mapping[str, str]) -> None:
        """Change the application's files."""
        write(self.folder, files)

    def remove(self, name: str) -> None:
        """Take a file away."""
        (self.folder / name).unlink()

    async def set(self, **services: Mapping[str, Any]) -> None:
        """Store parameters; `_` in a name stands for a hyphen."""
        spec = {
            "global": {"namespace": self.namespace},
            "services": {name.replace("_", "-"): dict(values) for name, values in services.items()},
        }
        await self.parameters.replace("default", spec, principal=LOCAL)

    @property
    def parameters(self) -> Any:
        """The subject beneath."""
        return self.plane.control.subjects.releasing.parameters

    async def up(self, *services: str, **choices: Any) -> Answer:
        """Ask for an `up`."""
        return await self.api.call("POST", "/api/up", {"services": list(services), **choices})

    async def versions(self) -> dict[str, str]:
        """The resourceVersion of every object that a request could change."""
        found = {}
        for kind in (Kind("Deployment", "apps"), Kind("ConfigMap")):
            for one in await self.cluster.list(kind, namespace=self.namespace):
                name = f"{kind.kind}/{one['metadata']['name']}"
                if "inventory" not in name and "root-ca" not in name:
                    found[name] = version_of(one)
        return found


@asynccontextmanager
async def open_shop(
    folder: Path,
    *,
    files: Mapping[str, str] = FILES,
    namespace: str = "default",
    settings: Settings | None = None,
    patience_s: float = 20.0,
    detective: Detective | None = None,
    **conductor: Any,
) -> AsyncIterator[Shop]:
    """Run a control plane that serves the application; on the sandbox unless told otherwise."""
    manifests = write(folder / "manifests", files)
    chosen = ConductorSettings(manifests=manifests, **({"cluster": "sandbox"} | conductor))
    served = replace(settings or Settings(), conductor=chosen)
    async with running_plane(folder / "data", served, patience_s=patience_s, detective=detective) as plane:
        shop = Shop(plane, manifests, namespace)
        if namespace != "default":
            await shop.set()
        yield shop
