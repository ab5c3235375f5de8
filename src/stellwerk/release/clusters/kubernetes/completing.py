"""What a text needs before an old server applies it.

Servers up to 1.20 name the ports of a Service by number and protocol, and do not know in an apply that the
protocol has a default: a Service without it, as nearly everybody writes them, is refused.
"""

from typing import Any

from stellwerk.release.objects import Body


def completed(body: Body) -> Body:
    """Return the object with the protocol that a Service's ports would get anyway."""
    spec = body.get("spec")
    if body["kind"] != "Service" or body["apiVersion"] != "v1" or not isinstance(spec, dict):
        return body
    ports = spec.get("ports")
    if not isinstance(ports, list) or all(map(_has_protocol, ports)):
        return body
    return body | {"spec": spec | {"ports": [_with_protocol(port) for port in ports]}}


def _has_protocol(port: Any) -> bool:
    return not isinstance(port, dict) or "protocol" in port


def _with_protocol(port: Any) -> Any:
    return port if _has_protocol(port) else port | {"protocol": "TCP"}
