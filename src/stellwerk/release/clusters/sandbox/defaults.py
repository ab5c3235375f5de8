"""What the sandbox fills in, as far as somebody may look for it."""

import base64
import zlib
from typing import Any

from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body, group_of

_NO_REPLICAS = {"replicas": 1}
_POLICIES = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}


def defaulted(body: Body) -> Body:
    """Return an object with what a cluster fills in where nothing is said."""
    match group_of(body["apiVersion"]), body["kind"]:
        case "", "Secret":
            return _secret(body)
        case "", "Namespace":
            return body | {"status": {"phase": "Active"} | part(body, "status")}
        case "", "Service":
            return _service(body)
        case "", "Pod":
            return body | {"spec": _POLICIES | part(body, "spec")}
        case "apps", "Deployment" | "ReplicaSet" | "StatefulSet":
            return body | {"spec": _NO_REPLICAS | part(body, "spec")}
        case "batch", "Job":
            counts = {"completions": 1, "parallelism": 1, "backoffLimit": 6}
            return body | {"spec": counts | part(body, "spec")}
        case _:
            return body


def _secret(body: Body) -> Body:
    texts = {
        name: base64.b64encode(str(text).encode()).decode() for name, text in part(body, "stringData").items()
    }
    found = {"type": "Opaque"} | {name: value for name, value in body.items() if name != "stringData"}
    return found | ({"data": part(body, "data") | texts} if texts else {})


def _service(body: Body) -> Body:
    spec: dict[str, Any] = {"type": "ClusterIP", "sessionAffinity": "None"} | part(body, "spec")
    if spec["type"] != "ExternalName" and "clusterIP" not in spec:
        spec["clusterIP"] = _address(f"{body['metadata'].get('namespace')}/{body['metadata']['name']}")
    spec["ports"] = [
        {"protocol": "TCP", "targetPort": one.get("port")} | one for one in entries(spec, "ports")
    ]
    return body | {"spec": spec if spec["ports"] else {n: v for n, v in spec.items() if n != "ports"}}


def _address(text: str) -> str:
    """Make up an address of the range that clusters give to services."""
    number = zlib.crc32(text.encode()) % 65_534 + 1
    return f"10.96.{number // 256}.{number % 256}"
