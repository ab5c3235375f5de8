"""Credentials from a program that the kubeconfig names (`client.authentication.k8s.io`)."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from stellwerk.release.clusters.kubernetes.access import Misconfigured

PROGRAM_S = 30.0
"""Such programs ask a cloud's service; none takes so long and still answers."""
MARGIN = timedelta(seconds=30)
"""A token that ends during a request is refused."""


class Plugin:
    """Runs the program when there is no token, or when it ends; one run at a time."""

    def __init__(self, file: Path, entry: Mapping[str, Any]) -> None:
        """`file`: the kubeconfig, to which a program with a slash in its name is relative."""
        self._entry = entry
        self._command = str(entry.get("command") or "")
        if "/" in self._command:
            self._command = str(file.parent / self._command)
        self._value: str | None = None
        self._ends_at: datetime | None = None
        self._turn = asyncio.Lock()

    async def authorization(self) -> str | None:
        """Return the program's token. Raises Misconfigured where it gives none."""
        async with self._turn:
            ends_at = self._ends_at
            if self._value is None or (ends_at is not None and datetime.now(UTC) > ends_at - MARGIN):
                status = self._status(await self._run())
                self._value, self._ends_at = (
                    f"Bearer {status['token']}",
                    _instant(status.get("expirationTimestamp")),
                )
        return self._value

    def refused(self) -> bool:
        """Ask the program again."""
        self._value = None
        return True

    async def _run(self) -> bytes:
        api_version = self._entry.get("apiVersion", "client.authentication.k8s.io/v1")
        asked = {"apiVersion": api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = os.environ | {"KUBERNETES_EXEC_INFO": msgspec.json.encode(asked).decode()}
        environment |= {str(one["name"]): str(one["value"]) for one in self._entry.get("env") or []}
        arguments = [str(one) for one in self._entry.get("args") or []]
        try:
            process = await asyncio.create_subprocess_exec(
                self._command,
                *arguments,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise self._fault(f"cannot run: {error}. {self._entry.get('installHint', '')}".strip()) from error
        try:
            answer, complaint = await asyncio.wait_for(process.communicate(), PROGRAM_S)
        except TimeoutError:
            raise self._fault(f"gave no answer in {PROGRAM_S:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            said = complaint.decode(errors="replace").strip()[-300:]
            raise self._fault(f"ended with {process.returncode}: {said}")
        return answer

    def _status(self, answer: bytes) -> dict[str, Any]:
        try:
            status = dict(msgspec.json.decode(answer)["status"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise self._fault("gave no ExecCredential") from error
        if not isinstance(status.get("token"), str):
            raise self._fault("gave no token; client certificates of a plugin are not supported")
        return status

    def _fault(self, what: str) -> Misconfigured:
        return Misconfigured(f"the credential plugin {self._command} {what}")


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
