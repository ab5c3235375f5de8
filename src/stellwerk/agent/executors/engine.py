"""Speak to a container engine over its Docker-compatible API.

Theory of operation. Docker and podman answer the same calls with small differences, which end here or are
named where they matter. The calls are made on the event loop, so a cancelled task closes its connection and
the engine gives up the pull or the exec behind it; a client that blocks in threads cannot do that. Nothing is
retried but the one answer podman is known to get wrong once: an inspect right after the exit of a container.
A session lives as long as one task.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from stellwerk.agent.executors.executor import Failed

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
NEWEST_API: Final = (1, 47)
"""Newest version of the API that this was written against; an older engine is spoken to in its own."""

CALL_LIMIT_S: Final = 30.0
"""For calls that only ask or set something; pulls, stops and execs have the limits of their tasks."""

OUTPUT_LIMIT: Final = 64 * 1024
"""Bytes kept of the output of an exec or of logs: the last ones."""


class EngineError(Exception):
    """The engine refused a call."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Output:
    """What an exec ended with; `text` is the end of its output, both streams."""

    exit_code: int
    text: str


class Engine:
    """An open conversation with one engine; made by `open_engine`."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def get(self, path: str, **query: Any) -> Any:
        """Ask; raises EngineError."""
        return await self._call("GET", path, query=query)

    async def get_with(self, path: str, headers: Mapping[str, str]) -> Any:
        """Ask with headers of one's own; raises EngineError."""
        return await self._call("GET", path, headers=headers)

    async def post(
        self, path: str, body: object = None, *, limit_s: float = CALL_LIMIT_S, **query: Any
    ) -> Any:
        """Tell; `limit_s` for the answer. Raises EngineError."""
        return await self._call("POST", path, query=query, body=body, limit_s=limit_s)

    async def delete(self, path: str, **query: Any) -> Any:
        """Remove; raises EngineError."""
        return await self._call("DELETE", path, query=query)

    async def stream(
        self, path: str, headers: Mapping[str, str], **query: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the JSON objects of a long answer as they come; raises EngineError."""
        try:
            async with self._session.post(
                self._base + path, params=_words(query), headers=headers, timeout=_limit(None)
            ) as answer:
                await _refuse(answer)
                async for found in _objects(answer.content):
                    yield found
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(error) from error

    async def execute(self, container: str, command: list[str]) -> Output:
        """Run a command inside a container until it ends; raises EngineError."""
        made = await self.post(
            f"/containers/{container}/exec", {"AttachStdout": True, "AttachStderr": True, "Cmd": command}
        )
        raw = await self._read(f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        state = await self.get(f"/exec/{made['Id']}/json")
        return Output(int(state.get("ExitCode") or 0), raw)

    async def logs(self, container: str, lines: int = 20) -> str:
        """Read the last lines of a container's output; empty when it has none or the engine cannot tell."""
        try:
            async with self._session.get(
                f"{self._base}/containers/{container}/logs",
                params={"stdout": "1", "stderr": "1", "tail": str(lines)},
                timeout=_limit(CALL_LIMIT_S),
            ) as answer:
                await _refuse(answer)
                return await _multiplexed(answer.content)
        except (EngineError, aiohttp.ClientError, OSError):
            return ""

    async def inspect(self, container: str) -> dict[str, Any] | None:
        """Inspect a container by name or id; None when there is none. Raises EngineError."""
        for attempt in (1, 2, 3):
            try:
                found: dict[str, Any] = await self.get(f"/containers/{container}/json")
            except EngineError as error:
                if error.status == 404:
                    return None
                if attempt == 3 or "no such process" not in error.message:
                    raise
                # podman looks for the process that has just ended.
                await asyncio.sleep(0.1)
            else:
                return found
        return None

    async def _read(self, path: str, body: object) -> str:
        try:
            async with self._session.post(self._base + path, json=body, timeout=_limit(None)) as answer:
                await _refuse(answer)
                return await _multiplexed(answer.content)
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(error) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        limit_s: float = CALL_LIMIT_S,
    ) -> Any:
        options: dict[str, Any] = {"params": _words(query or {}), "json": body, "headers": headers}
        try:
            async with self._session.request(
                method, self._base + path, timeout=_limit(limit_s), **options
            ) as answer:
                await _refuse(answer)
                raw = await answer.read()
        except TimeoutError as error:
            raise EngineError(
                504, f"the engine did not answer {method} {path} within {limit_s:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(error) from error
        return json.loads(raw) if raw.strip() else None


@asynccontextmanager
async def open_engine(host: str | None) -> AsyncIterator[Engine]:
    """Open a conversation; None takes DOCKER_HOST.

    Raises Failed: `docker.unreachable` (retriable), and `docker.refused` for an EngineError that nobody
    caught.
    """
    host = engine_host(host)
    connector, base = _connector(host)
    # The environment's proxies and .netrc are for the world outside, never for the engine.
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        try:
            async with session.get(f"{base}/_ping", timeout=_limit(5)) as answer:
                version = answer.headers.get("Api-Version", "1.41")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(error, host) from error
        spoken = min(tuple(int(part) for part in version.split(".")), NEWEST_API)
        try:
            yield Engine(session, f"{base}/v{spoken[0]}.{spoken[1]}")
        except EngineError as error:
            raise refused(error) from error


def engine_host(host: str | None) -> str:
    """Tell the address of the engine: what is set, else DOCKER_HOST, else Docker's own socket."""
    return host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST


def registry_header(credentials: Mapping[str, str], registry: str) -> dict[str, str]:
    """Make the header that carries the registry's credentials; empty without a user name."""
    user, password = credentials.get("registry.username"), credentials.get("registry.password")
    if not user:
        return {}
    text = json.dumps({"username": user, "password": password or "", "serveraddress": registry})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}


def refused(error: EngineError, what: str = "the container engine refused") -> Failed:
    """Word that the engine refused a call; its own errors may pass, refusals of the call stay."""
    return Failed("docker.refused", f"{what}: {error.message}", retriable=error.status >= 500)


def unreachable(error: BaseException, host: str = "") -> Failed:
    """Word that the engine could not be reached or went away."""
    where = f" at {host}" if host else ""
    return Failed(
        "docker.unreachable",
        f"the container engine{where} does not answer: {error}. Does it run, may this user speak to it?",
        retriable=True,
    )


def _connector(host: str) -> tuple[aiohttp.BaseConnector, str]:
    scheme, _, rest = host.partition("://")
    match scheme:
        case "unix":
            return aiohttp.UnixConnector(path=rest), "http://engine"
        case "tcp" | "http" | "https":
            tls = _tls() if scheme == "https" or os.environ.get("DOCKER_TLS_VERIFY") else None
            return aiohttp.TCPConnector(ssl=tls or True), f"{'https' if tls else 'http'}://{rest}"
        case _:
            raise Failed("docker.unreachable", f"{host!r}: expected unix://, tcp:// or https://")


def _tls() -> ssl.SSLContext:
    folder = Path(os.environ.get("DOCKER_CERT_PATH", "~/.docker")).expanduser()
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def _limit(total_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, connect=10)


def _words(query: Mapping[str, Any]) -> dict[str, str]:
    """Write query parameters the way the engines read them."""
    words = {}
    for name, value in query.items():
        if value is None:
            continue
        if isinstance(value, bool):
            words[name] = "true" if value else "false"
        else:
            words[name] = value if isinstance(value, str) else json.dumps(value)
    return words


async def _refuse(answer: aiohttp.ClientResponse) -> None:
    # 304: the container already is what it was told to become.
    if answer.status < 400:
        return
    raw = await answer.text()
    try:
        found = json.loads(raw)
        message = str(found.get("message") or found.get("cause") or raw)
    except (ValueError, AttributeError):
        message = raw.strip()
    raise EngineError(answer.status, message)


async def _objects(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Split a stream of JSON objects; they may share a line or span reads."""
    decoder = json.JSONDecoder()
    text = ""
    async for chunk in content.iter_any():
        text += chunk.decode(errors="replace")
        while text := text.lstrip():
            try:
                found, end = decoder.raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            if isinstance(found, dict):
                yield found


async def _multiplexed(content: aiohttp.StreamReader) -> str:
    """Read a stream of frames (stream, three zeros, four bytes of length); keep the last of it."""
    kept = b""
    try:
        while True:
            header = await content.readexactly(8)
            kept = (kept + await content.readexactly(int.from_bytes(header[4:], "big")))[-OUTPUT_LIMIT:]
    except asyncio.IncompleteReadError as end:
        if end.partial and not kept:
            kept = end.partial  # a container with a terminal sends no frames
    return kept.decode(errors="replace")
