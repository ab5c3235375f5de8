"""The incidents interface behind a real gate, over sessions whose detective says what a test wants."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stellwerk.interfaces import incidents
from support.database import sqlite_database
from support.inquiry import Office, ScriptedDetective
from support.listening import OPEN, listening
from support.plane import Caller

SESSION = "/api/v1/incident/session"


@dataclass(frozen=True, slots=True)
class Desk:
    """The interface, and what stands behind it."""

    office: Office
    caller: Caller

    async def submit(self, body: dict[str, Any]) -> str:
        """Submit a request; return the session."""
        return str((await self.caller.post("/api/v1/incident/analyze", body))["session_id"])

    async def ended(self, body: dict[str, Any]) -> str:
        """Submit a request and wait for the end; return the session."""
        session_id = await self.submit(body)
        assert (await self.office.investigations.wait(session_id, 90.0)).ended
        return session_id


OpenDesk = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def open_desk(tmp_path: Path) -> OpenDesk:
    """Serve the interface, with a detective and settings of the test."""

    @asynccontextmanager
    async def opened(detective: ScriptedDetective | None = None, **more: Any) -> AsyncIterator[Desk]:
        access = more.pop("access", OPEN)
        async with sqlite_database(tmp_path) as database:
            office = Office(database, detective, **more)
            await office.start()
            part = incidents.build(
                investigations=office.investigations,
                # Remedies are tested over a whole control plane.
                remedies=None,  # type: ignore[arg-type]
                catalogue=None,  # type: ignore[arg-type]
                journal=office.journal,
                settings=office.settings,
            )
            async with listening(access, interfaces=[part.interface]) as served:
                yield Desk(office, Caller(served.url, served.session))
            await office.stop()

    return opened


@pytest.fixture
async def desk(open_desk: OpenDesk) -> AsyncIterator[Desk]:
    """The interface with everything as it usually is."""
    async with open_desk() as opened:
        yield opened


def request(**changed: Any) -> dict[str, Any]:
    """A request with every required field of the first version; None leaves one out."""
    body = {
        "incident_id": "inc-2026-0042",
        "remediation_id": "rem-1",
        "signal_name": "KubePodCrashLooping",
        "severity": "high",
        "signal_source": "prometheus",
        "resource_namespace": "shop",
        "resource_kind": "Deployment",
        "resource_name": "frontend",
        "error_message": "Back-off restarting failed container",
        "environment": "production",
        "priority": "P1",
        "risk_tolerance": "low",
        "business_category": "retail",
        "cluster_name": "eu-1",
    }
    return {name: value for name, value in {**body, **changed}.items() if value is not None}
