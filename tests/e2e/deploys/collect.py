"""Reads the evidence: the API while the server lives, its tables when it is gone, and the cluster itself."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from bench.seeds import call
from bench.serving import Server

from e2e.deploys.evidence import Entry, OperationRow, Thing
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key

KINDS = (Kind("ConfigMap"), Kind("Deployment", "apps"), Kind("Secret"), Kind("Service"))
APPLICATION, INSTANCE, SERVICE = (f"stellwerk.dev/{name}" for name in ("application", "instance", "service"))
MADE_BY_THE_CLUSTER = ("kube-root-ca.crt", "default-token-")
EVENTS = "select kind, data from events where kind like 'deploy.operation.%' order by seq"
COPIES = "select entries from release_inventories where application = ? and instance = ?"


def operations(server: Server, instance: str) -> list[OperationRow]:
    """Read the operations of an instance."""
    page = call(server, "GET", f"/api/operations?instance={instance}&limit=200")
    return [_row(one) for one in page["operations"]]


def told(data_dir: Path) -> list[tuple[str, str]]:
    """Read the events of operations behind the product's back."""
    rows = _read(data_dir, EVENTS)
    return [(kind, msgspec.json.decode(data)["details"]["operationId"]) for kind, data in rows]


def copy_of_inventory(data_dir: Path, application: str, instance: str) -> list[Entry]:
    """Read the database's copy of an inventory."""
    rows = _read(data_dir, COPIES, (application, instance))
    return _entries(msgspec.json.decode(rows[0][0])) if rows else []


async def inventory_in(cluster: Cluster, namespace: str, application: str, instance: str) -> list[Entry]:
    """Read the cluster's copy of an inventory."""
    key = Key(namespace, "ConfigMap", f"stellwerk-inventory-{application}-{instance}")
    body = await cluster.get(key)
    return [] if body is None else _entries(body.get("data") or {})


async def ours(cluster: Cluster, application: str) -> list[tuple[str, Thing]]:
    """List everything in the cluster that carries an application's marks, with its instance."""
    found = []
    for kind in KINDS:
        for body in await cluster.list(kind, labels={APPLICATION: application}):
            labels = body["metadata"]["labels"]
            if SERVICE in labels:  # else it is an inventory
                found.append((labels[INSTANCE], _thing(body)))
    return found


async def foreign(cluster: Cluster, namespaces: Sequence[str], application: str) -> list[Thing]:
    """List everything else that is in the namespaces, but for what a cluster makes itself."""
    found = []
    for namespace in namespaces:
        for kind in KINDS:
            for body in await cluster.list(kind, namespace=namespace):
                mine = (body["metadata"].get("labels") or {}).get(APPLICATION) == application
                if not mine and not body["metadata"]["name"].startswith(MADE_BY_THE_CLUSTER):
                    found.append(_thing(body))
    return found


def _row(one: dict[str, Any]) -> OperationRow:
    failure = one["failure"]
    return OperationRow(
        id=one["id"],
        instance=one["instance"],
        kind=one["kind"],
        services=tuple(one["services"]),
        note=one["note"],
        state=one["state"],
        requested_at=one["requestedAt"],
        started_at=one["startedAt"] or "",
        finished_at=one["finishedAt"] or "",
        attempt=one["attempt"],
        release=one["release"],
        failure=f"{failure['error']}: {failure.get('message', '')}" if failure else "",
    )


def _thing(body: Body) -> Thing:
    metadata = body["metadata"]
    return Thing(
        namespace=metadata["namespace"],
        kind=body["kind"],
        name=metadata["name"],
        uid=metadata["uid"],
        marker=_marker(body),
        # The status of a workload is written by its controller, which does not change its generation.
        version=str(metadata["generation"] if body["kind"] == "Deployment" else metadata["resourceVersion"]),
        service=(metadata.get("labels") or {}).get(SERVICE, ""),
    )


def _marker(body: Body) -> str:
    if body["kind"] == "Deployment":
        return str((body["metadata"].get("annotations") or {}).get("marker", ""))
    return str((body.get("data") or {}).get("marker", ""))


def _entries(texts: dict[str, str]) -> list[Entry]:
    """Read the lines of an inventory: a list of rows for each service."""
    return [
        Entry(kind=row[0][1], name=row[0][2], service=service, uid=row[3])
        for service, text in texts.items()
        for row in msgspec.json.decode(text)
    ]


def _read(data_dir: Path, statement: str, parameters: Sequence[str] = ()) -> list[Any]:
    connection = sqlite3.connect(f"file:{data_dir / 'stellwerk.db'}?mode=ro", uri=True)
    try:
        return connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()
