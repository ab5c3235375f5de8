"""Ports: free for a server that is to start, or held by one of ours."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator

from stellwerk.app.doctor.finding import Finding
from stellwerk.http.listener import bind
from stellwerk.settings import Settings

ANSWER_S = 3.0
MARK = "x-request-id"
"""Every answer of our gate has it."""


def examine_ports(settings: Settings) -> Iterator[Finding]:
    """Bind each port for a moment; ask whoever holds it."""
    server = settings.server
    wanted: dict[str, int | None] = {"server.port": server.port, "server.tls_port": server.tls_port}
    if server.compat_ports:
        wanted["server.coordinator_port"] = server.coordinator_port
        wanted["server.conductor_port"] = server.conductor_port
        wanted["server.metrics_port"] = server.metrics_port
    for setting, port in wanted.items():
        if port:
            yield _examine(
                setting, server.host, port, compat=setting not in ("server.port", "server.tls_port")
            )


def _examine(setting: str, host: str, port: int, *, compat: bool) -> Finding:
    check = f"ports.{setting}"
    try:
        bind(host, port).close()
    except OSError as error:
        if _is_ours(host, port):
            return Finding.ok(check, f"{port}: a control plane listens there")
        told = f"{host} port {port}: {error.strerror}"
        advice = f"end whoever holds it, or change {setting}"
        return Finding.warn(check, told, advice) if compat else Finding.fail(check, told, advice)
    return Finding.ok(check, f"{port} is free")


def _is_ours(host: str, port: int) -> bool:
    """Whether somebody there answers as our interfaces do. No credentials are sent."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    shown = f"[{address}]" if ":" in address else address
    anybody = ssl.create_default_context()
    # Nothing is told to it and nothing believed; who it is matters only for this line.
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anybody)
    )
    for scheme in ("http", "https"):
        try:
            with opener.open(f"{scheme}://{shown}:{port}/ready", timeout=ANSWER_S) as answer:
                return MARK in answer.headers
        except urllib.error.HTTPError as refused:
            # The compat listeners do not serve this path, and refuse it as ours do.
            return MARK in refused.headers
        except (OSError, ValueError):
            continue
    return False
