"""Joining: a registration token for an identity, with a key that never leaves this machine.

The key is on disk before it is sent, so a registration whose answer was lost is repeated with the same token
and the same key, also by the next process, and the server answers with the same agent.
"""

from __future__ import annotations

import logging
from typing import Any

from stellwerk.agent.clock import ServerTime
from stellwerk.agent.identity import IdentityStore, Pair
from stellwerk.agent.pinning import fetch_pinned
from stellwerk.agent.settings import AgentSettings
from stellwerk.agent.transport import Transport, client_context
from stellwerk.agent.wire import Registered

_log = logging.getLogger("stellwerk.agent")

REGISTER_PATH = "/api/v1/agents/register"


class NoToken(Exception):
    """There is no registration token, and no identity without one."""


def read_token(settings: AgentSettings) -> str | None:
    """Return the registration token of this moment; None where there is none."""
    if settings.token_file is not None:
        try:
            return settings.token_file.read_text().strip() or settings.token
        except OSError as error:
            _log.warning("the token file cannot be read: %s", error)
    return settings.token


async def register(
    settings: AgentSettings,
    store: IdentityStore,
    capabilities: list[str],
    instance_id: str,
    time: ServerTime,
) -> tuple[Pair, Registered]:
    """Register and store the identity, to be tried next.

    Raises NoToken, PinMismatch, Refused, Unreachable, IdentityUnusable, and OSError when it cannot be stored:
    then the same again is right.
    """
    token = read_token(settings)
    if token is None:
        raise NoToken
    bundle = await first_trust(settings, time)
    body: dict[str, Any] = {
        "name": settings.name,
        "version": settings.version,
        "capabilities": capabilities,
        "labels": dict(settings.labels),
        "csr": store.request(),
        "instanceId": instance_id,
        "maxTasks": settings.max_tasks,
    }
    transport = Transport(settings.server, client_context(bundle, None), time, settings.request_s)
    try:
        # Both names are in use for the header; the first is the documented one.
        answer = await transport.call(
            "POST", REGISTER_PATH, Registered, body, headers={"X-Agent-Token": token}
        )
    finally:
        await transport.close()
    if bundle is not None and answer.certificate.ca:
        # The bundle first: a pair without what verifies the server would be no way on.
        store.keep_ca(answer.certificate.ca)
    store.keep_config(answer.config)
    if answer.token:
        store.keep_ticket(answer.token)
    pair = store.keep_next(answer.certificate.cert)
    store.start_afresh()
    _log.info("registered as %s (%s)", settings.name, pair.agent_id)
    return pair, answer


async def first_trust(settings: AgentSettings, time: ServerTime) -> str | None:
    """Return the roots for first contact: the given file, else those pinned; None for the system's."""
    if settings.ca_file is not None:
        return settings.ca_file.read_text()
    if settings.ca_sha256:
        return await fetch_pinned(settings.server, settings.ca_sha256, time, settings.request_s)
    return None
