"""Which sockets the settings ask for, bound before anything else is touched."""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog

from stellwerk.http.access import is_loopback
from stellwerk.http.listener import bind
from stellwerk.settings import ServerSettings, Settings

log = structlog.get_logger(__name__)


class CannotBind(Exception):
    """A listener cannot be opened; the message names the setting and what would help."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that is bound but does not accept yet; a context that closes it."""

    name: str
    socket: socket.socket
    secure: bool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def bind_all(settings: Settings) -> list[Bound]:
    """Bind every listener. A busy compat port is only warned about. Raises CannotBind."""
    server, everywhere = settings.server, settings.tls.all_listeners
    _check_exposure(server, everywhere)
    bound = [Bound("main", _bind(server.host, server.port, "server.port"), everywhere)]
    try:
        if server.tls_port is not None:
            bound.append(Bound("tls", _bind(server.host, server.tls_port, "server.tls_port"), secure=True))
        if server.compat_ports:
            bound += _bind_compat(server, everywhere)
    except CannotBind:
        for one in bound:
            one.socket.close()
        raise
    return bound


def _bind_compat(server: ServerSettings, secure: bool) -> list[Bound]:
    bound = []
    ports = {
        "coordinator": server.coordinator_port,
        "conductor": server.conductor_port,
        "metrics": server.metrics_port,
    }
    for name, port in ports.items():
        try:
            bound.append(Bound(name, bind(server.host, port), secure))
        except OSError as error:
            log.warning(
                "compat port is busy, going on without it", listener=name, port=port, error=str(error)
            )
    return bound


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise CannotBind(f"{setting}: cannot listen on {host} port {port}: {error.strerror}") from error


def _check_exposure(server: ServerSettings, secure: bool) -> None:
    if is_loopback(server.host) or secure or server.insecure:
        return
    raise CannotBind(
        f"server.host: {server.host} can be reached from elsewhere and keys would travel in the clear; set "
        "tls.certificate, tls.key and tls.all_listeners=true, or server.insecure=true behind a proxy with TLS"
    )
