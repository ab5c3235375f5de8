"""The examples of the published document over real TLS, by `curl` and `openssl s_client`."""

import asyncio
import hashlib
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interfaces.deployment.document import COMPLETE, HEARTBEAT, PAYLOAD, REGISTER, UPDATE
from stellwerk.settings import ServerSettings, Settings
from support.plane import Plane, running_plane

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="curl or openssl is not installed"
)

STREAM = (
    "GET /api/v1/agents/{id}/task-stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass
class Machine:
    """A machine with nothing but a shell."""

    url: str
    folder: Path
    plane: Plane
    agent_id: str = ""

    @property
    def path(self) -> str:
        return f"/api/v1/agents/{self.agent_id}"

    def shown(self) -> tuple[str, ...]:
        """Return the options of `curl` and of `s_client` that differ: certificate and key."""
        return "--cert", str(self.folder / "cert.pem"), "--key", str(self.folder / "key.pem")

    async def curl(self, method: str, path: str, body: Any = None, *options: str) -> tuple[int, Any]:
        """Call the server as a shell script would."""
        given = ["-d", json.dumps(body), "-H", "Content-Type: application/json"] if body is not None else []
        if "-k" not in options:
            given += ["--cacert", str(self.folder / "ca.pem")]
        code, out, err = await run(
            "curl",
            "-sS",
            "--tlsv1.3",
            "-X",
            method,
            *given,
            *options,
            "-w",
            "\n%{http_code}",
            self.url + path,
        )
        assert code == 0, err
        text, _, status = out.rpartition("\n")
        return int(status), json.loads(text)

    async def good(self, method: str, path: str, body: Any = None, *options: str) -> Any:
        """Call the server; it must say yes."""
        status, answer = await self.curl(method, path, body, *options)
        assert 200 <= status < 300, (status, answer)
        return answer

    async def code(self, method: str, path: str, body: Any = None, *options: str) -> tuple[int, str]:
        """Call the server; it must say no."""
        status, answer = await self.curl(method, path, body, *options)
        return status, answer["error"]["code"]

    async def join(self) -> Any:
        """Join with a fresh token, after comparing the server's root with the printed fingerprint."""
        made = await self.plane.main.post("/api/v1/admin/agent-tokens", {})
        offered = await self.good("GET", "/api/v1/agents/ca", None, "-k")
        assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(offered["ca"])).hexdigest() == made["caSha256"]
        (self.folder / "ca.pem").write_text(offered["ca"])
        joined = await self.good(
            "POST", "/api/v1/agents/register", REGISTER, "-H", f"X-Agent-Token: {made['token']}"
        )
        for name in ("cert", "key", "ca"):
            (self.folder / f"{name}.pem").write_text(joined["certificate"][name])
        self.agent_id = joined["agentId"]
        return joined

    def s_client(self, *options: str) -> tuple[str, ...]:
        """Return the command that connects and shows the certificate."""
        address = self.url.removeprefix("https://")
        pair = "-cert", str(self.folder / "cert.pem"), "-key", str(self.folder / "key.pem")
        return (
            "openssl",
            "s_client",
            "-connect",
            address,
            "-CAfile",
            str(self.folder / "ca.pem"),
            *pair,
            *options,
        )


async def run(*command: str, given: str = "") -> tuple[int, str, str]:
    """Run a program to its end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(20):
        out, err = await process.communicate(given.encode())
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with running_plane(tmp_path / "data", Settings(server=ServerSettings(tls_port=0))) as plane:
        yield Machine(plane.control.listeners["tls"], tmp_path, plane)


async def test_every_example_by_curl(machine: Machine) -> None:
    joined = await machine.join()
    assert set(joined) == {"agentId", "token", "config", "certificate"}
    for query in ("", "?status=online", "?capability=docker"):
        assert [one["name"] for one in await machine.good("GET", f"/api/v1/agents{query}")] == [
            "agent-prod-01"
        ]
    assert (await machine.good("GET", machine.path))["targets"] == []
    assert (await machine.good("PUT", machine.path, UPDATE))["labels"] == UPDATE["labels"]
    for name, value in (("user", "user"), ("password", "token")):
        await machine.plane.main.put(f"/api/v1/admin/secrets/{name}", {"value": value})
    task = {
        "agent": REGISTER["name"],
        "taskType": "docker.pull",
        "payload": PAYLOAD,
        "credentials": {"registry.username": "secret:user", "registry.password": "secret:password"},
        "timeout": 300,
    }
    task_id = (await machine.good("POST", "/api/v1/tasks", task))["taskId"]
    pending = await machine.good("GET", f"{machine.path}/tasks", None, *machine.shown())
    assert [one["taskId"] for one in pending["tasks"]] == [task_id]
    beat = await machine.good("POST", f"{machine.path}/heartbeat", HEARTBEAT, *machine.shown())
    assert beat["tasks"][0]["credentials"] == {"registry.username": "user", "registry.password": "token"}
    done = f"{machine.path}/tasks/{task_id}/complete"
    assert await machine.good("POST", done, COMPLETE, *machine.shown()) == {"acknowledged": True}
    assert (await machine.good("GET", f"/api/v1/tasks/{task_id}"))["status"] == "succeeded"
    assert await machine.good("DELETE", machine.path) == {"deleted": True}


async def test_every_error_by_curl(machine: Machine) -> None:
    await machine.join()
    beat = f"{machine.path}/heartbeat"
    other = (await machine.plane.main.post("/api/v1/admin/agent-tokens", {}))["token"]
    register = "/api/v1/agents/register"
    for expected, given in (
        ((401, "registration_token.invalid"), ("POST", register, REGISTER, "-H", "X-Agent-Token: reg_wrong")),
        ((409, "agent.name_taken"), ("POST", register, REGISTER, "-H", f"X-Agent-Token: {other}")),
        ((404, "agent.not_found"), ("GET", "/api/v1/agents/nobody")),
        ((401, "agent.certificate.required"), ("POST", beat, HEARTBEAT)),
        ((403, "agent.not_yours"), ("POST", "/api/v1/agents/nobody/heartbeat", HEARTBEAT, *machine.shown())),
        ((403, "missing_scope"), ("DELETE", machine.path, None, *machine.shown())),
    ):
        assert await machine.code(*given) == expected
    await machine.good("POST", beat, {**HEARTBEAT, "status": "stopped"}, *machine.shown())
    task = {"agent": REGISTER["name"], "taskType": "docker.pull"}
    assert await machine.code("POST", "/api/v1/tasks?mode=sync", task) == (503, "agent.offline")
    await machine.good("DELETE", machine.path)
    assert await machine.code("POST", beat, HEARTBEAT, *machine.shown()) == (403, "agent.revoked")


async def test_openssl_agrees_with_both_sides(machine: Machine) -> None:
    await machine.join()
    _, out, err = await run(*machine.s_client("-brief", "-verify_return_error"))
    assert "Protocol version: TLSv1.3" in out + err
    assert "Verification: OK" in out + err
    _, out, err = await run(*machine.s_client("-tls1_2"))
    assert "alert protocol version" in out + err
    _, out, err = await run(*machine.s_client("-msg"))
    assert "CertificateRequest" in out
    assert "NewSessionTicket" not in out


async def test_stream_by_openssl(machine: Machine) -> None:
    await machine.join()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *machine.s_client("-quiet"), stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(STREAM.format(id=machine.agent_id).encode())
        async with asyncio.timeout(10):
            assert b" 101 " in await process.stdout.readuntil(b"\r\n\r\n")
            task = {"agent": REGISTER["name"], "taskType": "docker.pull", "payload": PAYLOAD}
            task_id = (await machine.good("POST", "/api/v1/tasks", task))["taskId"]
            assigned = await process.stdout.readuntil(task_id.encode())
            assert b'"task_assigned"' in assigned
            await machine.good("DELETE", machine.path)
            assert b"\x11\x33" in await process.stdout.read()  # Close code 4403.
    finally:
        process.kill()
        await process.wait()
