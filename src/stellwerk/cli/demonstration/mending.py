"""The demo's loop from an unhealthy service back to a healthy one: investigated by itself, and rolled back
with the approval of a second principal, for the demo's namespace counts as production."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from stellwerk.cli.demonstration.view import View

INCIDENT = "/api/v1/incident"
LIMIT_S = 120.0
LOOK_S = 0.1
SETTINGS = ("--set", "inquiry.automatic=true")
ASKER, APPROVER = ("incidents:admin", "services:deploy"), ("incidents:read", "incidents:approve")


class NotMended(Exception):
    """The loop did not close."""


async def mend(session: aiohttp.ClientSession, view: View) -> str:
    """Wait for the investigation, let its remedy be approved, and wait for the health; say how it ended."""
    asker, approver = await _key(session, "on-call", ASKER), await _key(session, "lead", APPROVER)
    async with asyncio.timeout(LIMIT_S):
        session_id = await _investigated(session)
        result = await _call(session, "GET", f"{INCIDENT}/session/{session_id}/result")
        view.say(f"investigated by itself: {result['root_cause']} ({result['confidence']:.0%})")
        workflow = result["selected_workflow"]
        if workflow is None:
            raise NotMended(f"the investigation chose no remedy: {result['investigation_outcome']}")
        place = f"{INCIDENT}/session/{session_id}/remediate"
        remedy = await _call(session, "POST", place, headers=asker)
        view.say(f"{workflow['workflow_id']} waits for approval, because {remedy['needs_approval']}")
        path = f"{INCIDENT}/remedies/{remedy['remedy_id']}"
        await _call(session, "POST", f"{path}/approve", headers=approver)
        while remedy["finished_at"] is None:
            await asyncio.sleep(LOOK_S)
            remedy = await _call(session, "GET", path)
    if not remedy["healthy"]:
        raise NotMended(f"the remedy {remedy['state']}: {remedy['message']}")
    return str(remedy["message"])


async def _investigated(session: aiohttp.ClientSession) -> str:
    """Wait for the end of the investigation that is opened by itself; return its session."""
    while True:
        for one in (await _call(session, "GET", f"{INCIDENT}/sessions"))["sessions"]:
            if one["automatic"] and one["finished_at"] is not None:
                return quote(one["session_id"])
        await asyncio.sleep(LOOK_S)


async def _key(session: aiohttp.ClientSession, name: str, scopes: tuple[str, ...]) -> dict[str, str]:
    made = await _call(session, "POST", "/keys", {"name": name, "scopes": list(scopes)})
    return {"Authorization": f"Bearer {made['key']}"}


async def _call(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Any:
    async with session.request(method, path, json=body, headers=headers) as answer:
        said = await answer.json(content_type=None)
        if answer.status >= 400:
            raise NotMended(f"{method} {path}: {said.get('detail', answer.status)}")
        return said
