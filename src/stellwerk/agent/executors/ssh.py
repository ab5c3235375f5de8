"""ssh.exec and sftp.put: run a command on another machine, and put a file there.

The key of the other machine is pinned: by the task (`hostKey` or `hostFingerprint`) or in the agent's
`known_hosts`. A machine whose key is not known is refused; nothing is learnt on first use. Keys to log in
with come as credentials of the task (`ssh.privateKey`, `ssh.passphrase`, `ssh.password`) or lie in the
agent's `ssh/` folder and are named by `keyRef`.

A command must end when its task does, and sshd is no help: it kills nothing when a connection without a
terminal closes, and ignores signals to root's commands. So the shell tells its process id in its first
line on stderr, which is taken out again, and its process group (sshd starts each command in one of its
own) is killed by a second command. That takes a POSIX shell on the other machine.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import importlib.util
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec import Meta

from stellwerk.agent.executors.executor import Failed, Job, Lost, Report, Result, within
from stellwerk.agent.executors.parameters import Parameters, faults, read
from stellwerk.agent.executors.settings import ExecutorSettings

if TYPE_CHECKING:
    import asyncssh

TAIL_BYTES = 64 * 1024
"""Kept of each stream: the last ones."""
LINE_LIMIT = 8192
STOP_GRACE_S = 10.0
"""Between TERM and KILL for the remote command of a cancelled task."""
FILE_LIMIT = 768 * 1024
"""A file comes inside a task, whose body is limited to 1 MiB; base64 takes a third."""

Fingerprint = Annotated[str, Meta(pattern=r"^SHA256:[A-Za-z0-9+/]{43}=?\Z")]


class Machine(Parameters, frozen=True, kw_only=True):
    """Another machine and how to log in there."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[^\s/@]+\Z")]
    user: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\s:@]+\Z")]
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    host_key: Annotated[str, Meta(pattern=r"^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?\Z")] | None = (
        None
    )
    """A line of its public key, `ssh-ed25519 AAAA…`."""
    host_fingerprint: Fingerprint | None = None
    key_ref: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")] | None = None
    """A file in the agent's `ssh/` folder."""
    connect_timeout: Annotated[float, Meta(gt=0, le=600)] = 15.0

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """One pin at most."""
        both = values.get("host_key") and values.get("host_fingerprint")
        return ["hostKey and hostFingerprint: give one of them"] if both else []


class ExecParameters(Machine, frozen=True, kw_only=True):
    """What ssh.exec takes."""

    command: Annotated[str, Meta(min_length=1, max_length=65536)]
    stdin: str | None = None


class PutParameters(Machine, frozen=True, kw_only=True):
    """What sftp.put takes."""

    path: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^/[^\x00]*[^/\x00]\Z")]
    content: str | None = None
    content_base64: str | None = None
    mode: Annotated[str, Meta(pattern=r"^0?[0-7]{3}\Z")] = "0644"
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """One content, of a size that fits, with the hash that was promised."""
        found = super().rules(values)
        if "content" not in values or "content_base64" not in values:
            return found
        if (values["content"] is None) == (values["content_base64"] is None):
            return [*found, "content or contentBase64: give one of them"]
        try:
            raw = content_of(values["content"], values["content_base64"])
        except (binascii.Error, ValueError) as error:
            return [*found, f"contentBase64: {error}"]
        if len(raw) > FILE_LIMIT:
            found.append(f"content: {len(raw)} bytes, more than {FILE_LIMIT}")
        if values.get("sha256") and hashlib.sha256(raw).hexdigest() != values["sha256"]:
            found.append("sha256: the content has another hash")
        return found


class Ssh:
    """Works on other machines."""

    task_types: tuple[str, ...] = ("ssh.exec", "sftp.put")
    capability: str = "ssh"
    shapes: ClassVar[Mapping[str, type[Machine]]] = {"ssh.exec": ExecParameters, "sftp.put": PutParameters}

    def __init__(self, settings: ExecutorSettings) -> None:
        self._known_hosts = settings.data_dir / "known_hosts"
        self._keys = settings.data_dir / "ssh"

    async def ready(self) -> str | None:
        """asyncssh is an extra of the package."""
        if importlib.util.find_spec("asyncssh") is None:
            return "asyncssh is not installed: pip install 'stellwerk[agent]'"
        return None

    def check(self, task_type: str, payload: Mapping[str, Any]) -> list[str]:
        """List every fault of the parameters."""
        found = faults(self.shapes[task_type], payload)
        if not (payload.get("hostKey") or payload.get("hostFingerprint") or self._known_hosts.is_file()):
            found.append(f"hostKey or hostFingerprint: required, because {self._known_hosts} does not exist")
        return found

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Do it; a cancelled command is told to end (TERM, KILL), a half-written file is removed."""
        if why := await self.ready():
            raise Failed("ssh.unavailable", why)
        if found := self.check(job.task_type, job.payload):
            raise Failed("parameters.invalid", "; ".join(found), result={"faults": found})
        if job.task_type == "ssh.exec":
            return await within(job, cancelled, self._execute(read(ExecParameters, job.payload), job, report))
        return await within(job, cancelled, self._put(read(PutParameters, job.payload), job, report))

    async def adopt(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result | None:
        """A file can be put again; what became of a command nobody knows."""
        if job.task_type == "ssh.exec":
            raise Lost("the agent restarted while the command ran; it may have ended, or run on")
        return None

    async def _execute(self, wanted: ExecParameters, job: Job, report: Report) -> Result:
        import asyncssh

        async with self._connected(wanted, job.credentials) as connection:
            report.progress(10, f"connected to {wanted.host}")
            mark = f"stellwerk-{job.task_id}:".encode()
            line = f"echo {shlex.quote(mark.decode())}$$ >&2; {wanted.command}"
            try:
                process = await connection.create_process(line, encoding=None)
            except asyncssh.Error as error:
                raise Failed("ssh.refused", f"{wanted.host} did not start the command: {error}") from error
            remote = Remote(connection, process)
            try:
                if wanted.stdin is not None:
                    process.stdin.write(wanted.stdin.encode())
                process.stdin.write_eof()
                out, err = await asyncio.gather(
                    _tail(process.stdout, "info", report), remote.errors(mark, report)
                )
                done = await process.wait(check=False)
            except BaseException:
                await remote.end()
                raise
        result = {
            "exitCode": done.exit_status,
            "signal": done.exit_signal and done.exit_signal[0],
            "stdout": out,
            "stderr": err,
        }
        if done.exit_status != 0:
            how = f"exit code {done.exit_status}" if done.exit_status is not None else "no exit code"
            raise Failed(
                "ssh.exit",
                f"the command ended with {how}: {err.strip()[-500:] or out.strip()[-500:]}",
                result=result,
            )
        report.progress(100, "done")
        return result

    async def _put(self, wanted: PutParameters, job: Job, report: Report) -> Result:
        import asyncssh

        raw = content_of(wanted.content, wanted.content_base64)
        beside = f"{wanted.path}.{hashlib.sha256(job.task_id.encode()).hexdigest()[:10]}.part"
        try:
            async with (
                self._connected(wanted, job.credentials) as connection,
                connection.start_sftp_client() as sftp,
            ):
                try:
                    async with sftp.open(
                        beside, "wb", asyncssh.SFTPAttrs(permissions=int(wanted.mode, 8))
                    ) as file:
                        await file.write(raw)
                        with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                            await file.fsync()
                    # The server takes its umask off the mode of a new file.
                    await sftp.chmod(beside, int(wanted.mode, 8))
                    await sftp.posix_rename(beside, wanted.path)
                except BaseException:
                    async with asyncio.timeout(STOP_GRACE_S):
                        with contextlib.suppress(asyncssh.Error, OSError):
                            await sftp.remove(beside)
                    raise
        except asyncssh.SFTPError as error:
            raise Failed("sftp.refused", f"{wanted.host} refused {wanted.path}: {error.reason}") from error
        report.progress(100, "written")
        return {"path": wanted.path, "sizeBytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}

    @asynccontextmanager
    async def _connected(
        self, machine: Machine, credentials: Mapping[str, str]
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        import asyncssh

        try:
            connection = await asyncssh.connect(
                machine.host,
                machine.port,
                username=machine.user,
                client_keys=self._client_keys(machine, credentials),
                password=credentials.get("ssh.password"),
                known_hosts=self._trusted(machine),
                client_factory=lambda: _pinned_client(machine.host_fingerprint),
                connect_timeout=machine.connect_timeout,
                keepalive_interval=15,
                # The agent's own account must not lend its keys, its agent or its settings to a task.
                agent_path=None,
                config=None,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise Failed(
                "ssh.host_key", f"{machine.host} showed a key that is not the pinned one: {error}"
            ) from error
        except asyncssh.PermissionDenied as error:
            raise Failed(
                "ssh.unauthorized", f"{machine.host} refused the login of {machine.user}: {error}"
            ) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise Failed(
                "ssh.unreachable", f"{machine.host}:{machine.port}: {error}", retriable=True
            ) from error
        async with connection:
            yield connection

    def _trusted(self, machine: Machine) -> Any:
        import asyncssh

        if machine.host_key:
            return ([asyncssh.import_public_key(machine.host_key)], [], [])
        if machine.host_fingerprint:
            return ([], [], [])
        return str(self._known_hosts)

    def _client_keys(self, machine: Machine, credentials: Mapping[str, str]) -> list[Any]:
        import asyncssh

        text = credentials.get("ssh.privateKey")
        if not text and machine.key_ref:
            try:
                text = (self._keys / machine.key_ref).read_text()
            except OSError as error:
                raise Failed("ssh.no_key", f"keyRef {machine.key_ref!r}: {error.strerror}") from error
        if not text:
            return []
        try:
            return [asyncssh.import_private_key(text, credentials.get("ssh.passphrase"))]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise Failed("ssh.no_key", f"the private key cannot be read: {error}") from error


def content_of(text: str | None, encoded: str | None) -> bytes:
    """Tell the bytes of a file; raises ValueError for what is not base64."""
    return text.encode() if text is not None else base64.b64decode(encoded or "", validate=True)


def _pinned_client(fingerprint: str | None) -> asyncssh.SSHClient:
    """Make the handler that compares a fingerprint when no whole key is pinned."""
    import asyncssh

    class Pinned(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            return fingerprint is not None and key.get_fingerprint("sha256").rstrip(
                "="
            ) == fingerprint.rstrip("=")

    return Pinned()


async def _tail(stream: asyncssh.SSHReader[bytes], level: str, report: Report, kept: bytes = b"") -> str:
    """Log a stream line by line and keep its end; `kept` was read before."""
    pending = b""
    chunk = kept
    kept = b""
    while chunk := chunk or await stream.read(16384):
        kept = (kept + chunk)[-TAIL_BYTES:]
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > LINE_LIMIT:
            lines, pending = [*lines, pending], b""
        for line in lines:
            report.log(level, line[:LINE_LIMIT].decode(errors="replace"))
        chunk = b""
    if pending:
        report.log(level, pending.decode(errors="replace"))
    return kept.decode(errors="replace")


@dataclass(slots=True)
class Remote:
    """A running command and what it takes to end it."""

    connection: asyncssh.SSHClientConnection
    process: asyncssh.SSHClientProcess[bytes]
    group: int | None = None
    """Its process group; None until the shell has told it, and for good where it is no POSIX shell."""

    async def errors(self, mark: bytes, report: Report) -> str:
        """Log stderr and keep its end, without the line that tells the process id."""
        before = b""
        # A login script may speak first.
        for _ in range(20):
            line = await self.process.stderr.readline()
            if line.startswith(mark) and line[len(mark) :].strip().isdigit():
                self.group = int(line[len(mark) :])
                break
            before += line
            if not line.endswith(b"\n"):
                break
        return await _tail(self.process.stderr, "warning", report, before)

    async def end(self) -> None:
        """End the command: TERM, then KILL."""
        import asyncssh

        with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
            for signal in ("TERM", "KILL"):
                async with asyncio.timeout(STOP_GRACE_S):
                    await self._signal(signal)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_GRACE_S):
                        await self.process.wait_closed()
                        return

    async def _signal(self, signal: str) -> None:
        if self.group is None:
            self.process.send_signal(signal)
        else:
            await self.connection.run(f"kill -{signal} -{self.group}", check=False)
