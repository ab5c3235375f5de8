"""ssh.exec and sftp.put against a real OpenSSH server on the loopback."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from containers.conftest import Recorder
from stellwerk.agent.executors.executor import Cancelled, Failed, Job, Lost, Result, TimedOut
from stellwerk.agent.executors.settings import ExecutorSettings
from stellwerk.agent.executors.ssh import Ssh
from support.container_lab import answers, free_port

pytestmark = pytest.mark.containers

SSHD = "/usr/sbin/sshd"


@dataclass
class Host:
    """A running sshd and what logs in there."""

    port: int
    host_key: str
    fingerprint: str
    private_key: str
    folder: Path

    def machine(self, **more: Any) -> dict[str, Any]:
        """Parameters that reach it."""
        return {"host": "127.0.0.1", "port": self.port, "user": "root", "hostKey": self.host_key} | more


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """An sshd with keys of its own; installed if this is Debian and we may."""
    if os.geteuid() != 0:
        pytest.skip("an sshd of the test's own needs root")
    if not Path(SSHD).exists() and not _installed():
        pytest.skip("there is no sshd, and openssh-server could not be installed")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, timeout=30)
    Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/authorized\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
        f"PidFile {folder}/pid\nSubsystem sftp internal-sftp\n"
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    until = time.monotonic() + 15
    while not answers(f"tcp://127.0.0.1:{port}"):
        if server.poll() is not None or time.monotonic() > until:
            pytest.skip(f"sshd does not start: {(folder / 'log').read_text()[-300:]}")
        time.sleep(0.05)
    told = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(folder / "host.pub")], capture_output=True, text=True, check=True
    )
    yield Host(
        port,
        " ".join((folder / "host.pub").read_text().split()[:2]),
        told.stdout.split()[1],
        (folder / "user").read_text(),
        folder,
    )
    server.terminate()
    server.wait(10)


def _installed() -> bool:
    if shutil.which("apt-get") is None:
        return False
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "openssh-server"]):
        subprocess.run(["apt-get", *command], env=environment, check=False, capture_output=True, timeout=300)
    return Path(SSHD).exists()


@pytest.fixture
def report() -> Recorder:
    """What the tasks tell."""
    return Recorder()


async def run(
    host: Host,
    settings: ExecutorSettings,
    report: Recorder,
    task_type: str,
    payload: dict[str, Any],
    **more: Any,
) -> Result:
    """Run one task with the right key."""
    cancelled = more.pop("cancelled", None) or asyncio.Event()
    more = {"credentials": {"ssh.privateKey": host.private_key}, "timeout_s": 30.0} | more
    return await Ssh(settings).run(Job("t1", 1, task_type, payload, **more), report, cancelled)


@pytest.fixture
def settings(tmp_path: Path) -> ExecutorSettings:
    """An agent with a data directory of its own."""
    return ExecutorSettings(data_dir=tmp_path)


async def test_a_command_runs_and_its_output_comes_back(
    host: Host, settings: ExecutorSettings, report: Recorder
) -> None:
    payload = host.machine(command="cat; echo oops >&2", stdin="hello\n")
    result = await run(host, settings, report, "ssh.exec", payload)
    assert result == {"exitCode": 0, "signal": None, "stdout": "hello\n", "stderr": "oops\n"}
    assert {("info", "hello"), ("warning", "oops")} <= set(report.lines)


async def test_an_exit_code_fails_the_task_with_what_was_said(
    host: Host, settings: ExecutorSettings, report: Recorder
) -> None:
    with pytest.raises(Failed) as end:
        await run(host, settings, report, "ssh.exec", host.machine(command="echo no space >&2; exit 4"))
    assert (end.value.error_type, end.value.result["exitCode"]) == ("ssh.exit", 4)
    assert "no space" in end.value.message


async def test_a_fingerprint_or_the_known_hosts_file_pin_the_machine_as_well(
    host: Host, settings: ExecutorSettings, report: Recorder
) -> None:
    by_print = host.machine(command="true", hostKey=None, hostFingerprint=host.fingerprint)
    assert (await run(host, settings, report, "ssh.exec", by_print))["exitCode"] == 0
    (settings.data_dir / "known_hosts").write_text(f"[127.0.0.1]:{host.port} {host.host_key}\n")
    by_file = host.machine(command="true", hostKey=None)
    assert (await run(host, settings, report, "ssh.exec", by_file))["exitCode"] == 0


async def test_a_machine_with_another_key_is_refused(
    host: Host, settings: ExecutorSettings, report: Recorder
) -> None:
    other = " ".join((host.folder / "user.pub").read_text().split()[:2])
    for pin in ({"hostKey": other}, {"hostKey": None, "hostFingerprint": "SHA256:" + "A" * 43}):
        with pytest.raises(Failed) as end:
            await run(host, settings, report, "ssh.exec", host.machine(command="true", **pin))
        assert end.value.error_type == "ssh.host_key", end.value.message


async def test_a_machine_that_nobody_pinned_is_refused_before_any_connection(
    host: Host, settings: ExecutorSettings, report: Recorder
) -> None:
    with pytest.raises(Failed) as end:
        await run(host, settings, report, "ssh.exec", host.machine(command="true", hostKey=None))
    assert end.value.error_type == "parameters.invalid"


async def test_a_wrong_key_is_refused_and_a_named_one_is_found(
    host: Host, settings: ExecutorSettings, report: Recorder
) -> None:
    with pytest.raises(Failed) as end:
        await run(host, settings, report, "ssh.exec", host.machine(command="true"), credentials={})
    assert end.value.error_type == "ssh.unauthorized"
    (settings.data_dir / "ssh").mkdir()
    (settings.data_dir / "ssh" / "deploy").write_text(host.private_key)
    named = host.machine(command="true", keyRef="deploy")
    assert (await run(host, settings, report, "ssh.exec", named, credentials={}))["exitCode"] == 0


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_command_ends_when_its_task_does(
    host: Host, settings: ExecutorSettings, report: Recorder, tmp_path: Path, how: str
) -> None:
    payload = host.machine(
        command=f"trap 'echo term > {tmp_path}/end; exit 1' TERM; echo up; while :; do sleep 0.1; done"
    )
    cancelled = asyncio.Event()
    limit_s = 30.0 if how == "cancelled" else 4.0
    working = asyncio.ensure_future(
        run(host, settings, report, "ssh.exec", payload, cancelled=cancelled, timeout_s=limit_s)
    )
    if how == "cancelled":
        await report.said("up")
        cancelled.set()
    with pytest.raises((Cancelled, TimedOut)):
        await working
    assert (tmp_path / "end").read_text() == "term\n"


async def test_what_became_of_a_command_is_not_known_after_a_restart(
    host: Host, settings: ExecutorSettings, report: Recorder
) -> None:
    job = Job("t1", 2, "ssh.exec", host.machine(command="true"))
    with pytest.raises(Lost):
        await Ssh(settings).adopt(job, report, asyncio.Event())


async def test_a_file_is_put_whole_with_its_mode(
    host: Host, settings: ExecutorSettings, report: Recorder, tmp_path: Path
) -> None:
    place = tmp_path / "app.conf"
    place.write_text("old")
    payload = host.machine(path=str(place), content="new\n", mode="0640")
    result = await run(host, settings, report, "sftp.put", payload)
    assert result == {"path": str(place), "sizeBytes": 4, "sha256": hashlib.sha256(b"new\n").hexdigest()}
    assert place.read_text() == "new\n" and place.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["app.conf"]


async def test_a_file_that_cannot_be_put_leaves_nothing_behind(
    host: Host, settings: ExecutorSettings, report: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    for path in ("missing/x", "folder"):
        with pytest.raises(Failed) as end:
            payload = host.machine(path=str(tmp_path / path), content="x")
            await run(host, settings, report, "sftp.put", payload)
        assert end.value.error_type == "sftp.refused"
        assert names(tmp_path) == ["folder"]


def names(folder: Path) -> list[str]:
    """List a folder."""
    return sorted(one.name for one in folder.iterdir())
