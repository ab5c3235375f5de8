"""A machine that is reached over SSH: runs commands in shells of their own and puts files.

Like sshd it leaves a command alone whose connection breaks, so an agent that is killed cannot take its
command with it.
"""

import asyncio
import contextlib
import threading
from pathlib import Path

import asyncssh


class SshHost:
    """Serves in a thread of its own until `close`."""

    def __init__(self, folder: Path) -> None:
        host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        folder.mkdir(parents=True, exist_ok=True)
        authorized = folder / "authorized"
        authorized.write_bytes(user.export_public_key())
        self.host_key = " ".join(host.export_public_key().decode().split()[:2])
        self.private_key = user.export_private_key().decode()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(host, authorized), daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the SSH server does not start")

    @property
    def machine(self) -> dict[str, object]:
        """Parameters that reach it."""
        return {"host": "127.0.0.1", "port": self.port, "user": "deploy", "hostKey": self.host_key}

    def close(self) -> None:
        """End it; commands that run go on."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    def _run(self, host: asyncssh.SSHKey, authorized: Path) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(host, authorized))
        self._loop.close()

    async def _serve(self, host: asyncssh.SSHKey, authorized: Path) -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host],
            authorized_client_keys=str(authorized),
            process_factory=_execute,
            encoding=None,
            sftp_factory=True,
        )
        self.port = server.get_port()
        self._ready.set()
        await self._ending.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)


async def _execute(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    pipe = asyncio.subprocess.PIPE
    shell = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", process.command or "true"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )
    assert shell.stdout is not None and shell.stderr is not None
    await asyncio.gather(_copy(shell.stdout, process.stdout), _copy(shell.stderr, process.stderr))
    status = await shell.wait()
    with contextlib.suppress(asyncssh.Error, OSError):
        process.exit(status)


async def _copy(source: asyncio.StreamReader, sink: "asyncssh.SSHWriter[bytes]") -> None:
    while data := await source.read(4096):
        # Nobody may be left to read it; the command goes on all the same.
        with contextlib.suppress(asyncssh.Error, OSError):
            sink.write(data)
