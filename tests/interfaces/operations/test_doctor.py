"""What `stellwerk doctor` says of things that are really broken, and that it changes nothing."""

import hashlib
import json
import socket
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stellwerk.app.doctor import ports
from stellwerk.app.doctor.clocks import judge_clock
from stellwerk.app.doctor.examining import examine
from stellwerk.app.doctor.finding import State
from stellwerk.app.doctor.postgres import examine_postgres, judge_settings
from stellwerk.cli.main import app
from stellwerk.clock import SystemClock
from stellwerk.settings import DatabaseSettings, Settings
from stellwerk.trust.authority.roots import make_root, save_root
from support.plane import running_plane

PORTS_OFF = ["--set", "server.compat_ports=false", "--set", "server.port=0"]
YEARS_AGO_US = int((datetime.now(UTC) - timedelta(days=10_950)).timestamp() * 1e6)


def doctor(*words: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit status and what it says of each thing."""
    done = CliRunner().invoke(app, ["doctor", "--json", *words])
    said = json.loads(done.stdout)
    return done.exit_code, {one["check"]: one for one in said["findings"]}


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """The data directory of a server that ran, and was closed in order."""
    async with running_plane(tmp_path / "data"):
        pass
    return tmp_path / "data"


def everything_in(folder: Path) -> dict[str, str]:
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_sound_server_is_said_to_be_sound_and_nothing_is_changed(data: Path) -> None:
    before = everything_in(data)
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert status == 0, said
    assert {said[name]["state"] for name in ("database", "database.migrations", "files.secrets")} == {"ok"}
    assert everything_in(data) == before


def test_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    status, _ = doctor("--data-dir", str(tmp_path / "new"), *PORTS_OFF)
    assert status == 0
    assert list(tmp_path.iterdir()) == []


async def test_running_server_is_looked_at_beside_its_work(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "data") as plane:
        port = int(plane.main.url.rpartition(":")[2])
        settings = replace(Settings(), data_dir=tmp_path / "data")
        settings = replace(settings, server=replace(settings.server, port=port, compat_ports=False))
        said = {one.check: one async for one in examine(settings, ["default"], SystemClock())}
    assert said["database"].state is State.OK
    assert said["ports.server.port"].detail == f"{port}: a control plane listens there"


def test_unknown_setting_and_its_place_are_named_but_never_a_value(tmp_path: Path) -> None:
    file = tmp_path / "stellwerk.yaml"
    file.write_text("work:\n  lease_secs: hunter2\n")
    done = CliRunner().invoke(app, ["doctor", "--config", str(file)])
    assert done.exit_code == 1
    assert f"{file}:2: 'work.lease_secs' is no setting" in done.stdout
    assert "hunter2" not in done.stdout


def test_broken_database_fails(data: Path) -> None:
    file = data / "stellwerk.db"
    content = bytearray(file.read_bytes())
    content[4096:40_960] = b"\x5a" * (40_960 - 4096)
    file.write_bytes(content)
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert (status, said["database"]["state"]) == (1, "fail")
    assert "stellwerk restore" in said["database"]["advice"]


def test_database_of_a_newer_release_fails(data: Path) -> None:
    with sqlite3.connect(data / "stellwerk.db") as opened:
        opened.execute("INSERT INTO schema_migrations VALUES (9999, 'later', 'x', 0)")
    opened.close()
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert (status, said["database.migrations"]["state"]) == (1, "fail")


def test_database_of_an_older_release_is_told_to_be_upgraded_by_the_next_start(data: Path) -> None:
    with sqlite3.connect(data / "stellwerk.db") as opened:
        opened.execute("DELETE FROM schema_migrations WHERE number > 13")
    opened.close()
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert (status, said["database.migrations"]["state"]) == (0, "warn")


def test_key_that_others_can_read_fails(data: Path) -> None:
    (data / "authority" / "secrets.key").chmod(0o644)
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert (status, said["files.secrets"]["state"]) == (1, "fail")
    assert said["files.secrets"]["advice"].startswith("run: chmod 600")


def test_expired_root_fails(data: Path) -> None:
    folder = data / "authority" / "agents"
    for file in folder.iterdir():
        file.unlink()
    save_root(make_root("old", YEARS_AGO_US), folder, "root-1")
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert (status, said["certificates.agents"]["state"]) == (1, "fail")
    assert "stellwerk ca rotate agents" in said["certificates.agents"]["advice"]


def test_lost_root_fails(data: Path) -> None:
    (data / "authority" / "servers" / "root-1.key").unlink()
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert (status, said["certificates.servers"]["state"]) == (1, "fail")


def test_expired_certificate_of_an_agent_is_named(data: Path) -> None:
    with sqlite3.connect(data / "stellwerk.db") as opened:
        opened.execute(
            "INSERT INTO certificates (serial, root, agent_id, key_hash, state, not_before, not_after,"
            " intended_at, changed_at) VALUES ('1', 'r', 'edge-7', 'h', 'active', 1, 2, 1, 1)"
        )
    opened.close()
    status, said = doctor("--data-dir", str(data), *PORTS_OFF)
    assert (status, said["certificates.holders"]["state"]) == (0, "warn")
    assert "edge-7" in said["certificates.holders"]["detail"]


def test_port_of_another_program_fails_for_the_main_listener_and_warns_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "ANSWER_S", 0.05)  # of a program that says nothing
    with socket.create_server(("127.0.0.1", 0)) as held:
        words = [f"--set=server.{name}={held.getsockname()[1]}" for name in ("port", "coordinator_port")]
        status, said = doctor("--data-dir", str(tmp_path / "d"), *words)
    assert (status, said["ports.server.port"]["state"]) == (1, "fail")
    assert said["ports.server.coordinator_port"]["state"] == "warn"


def test_file_that_a_setting_names_and_is_not_there_fails(tmp_path: Path) -> None:
    words = ["--set", "tls.certificate=/none.pem", "--set", "tls.key=/none.key"]
    status, said = doctor("--data-dir", str(tmp_path / "d"), *PORTS_OFF, *words)
    assert (status, said["files.tls.certificate"]["state"]) == (1, "fail")


def test_cluster_that_cannot_be_reached_fails(tmp_path: Path) -> None:
    file = tmp_path / "config"
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    file.write_text(kubeconfig(f"http://127.0.0.1:{port}"))
    status, said = doctor(
        "--data-dir", str(tmp_path / "d"), *PORTS_OFF, "--set", f"conductor.kubeconfig={file}"
    )
    assert (status, said["cluster"]["state"]) == (1, "fail")
    assert "cannot be reached" in said["cluster"]["detail"]


def kubeconfig(server: str) -> str:
    return json.dumps({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "s3cret-of-the-cluster"}}],
    })  # fmt: skip


async def test_postgres_answers_and_what_is_not_durable_in_it_fails(postgres_url: str) -> None:
    settings = DatabaseSettings(url=postgres_url)
    said = {one.check: one async for one in examine_postgres(settings, SystemClock())}
    assert said["database"].state is State.OK
    assert said["database.migrations"].state is State.OK
    assert said["clock.database"].state is State.OK
    # The server of the tests is set up to be fast.
    assert said["postgres.fsync"].state is State.FAIL


async def test_postgres_that_is_away_fails_without_showing_its_password() -> None:
    settings = DatabaseSettings(url="postgresql://u:hunter2@127.0.0.1:1/d")
    said = [one async for one in examine_postgres(settings, SystemClock())]
    assert [one.state for one in said] == [State.FAIL]
    assert "hunter2" not in repr(said)


def test_postgres_with_too_few_connections_fails() -> None:
    found = {"server_version_num": "150004", "max_connections": "10", "fsync": "on"}
    found |= {"full_page_writes": "on", "synchronous_commit": "on"}
    failing = [one.check for one in judge_settings(found, 16) if one.state is State.FAIL]
    assert failing == ["postgres.max_connections"]


@pytest.mark.parametrize(
    ("theirs", "state"), [(100.4, State.OK), (97.0, State.WARN), (105.0, State.WARN), (200.0, State.FAIL)]
)
def test_clock_is_judged_by_how_far_it_is_from_ours(theirs: float, state: State) -> None:
    assert judge_clock("clock", theirs, 100.0, 100.5).state is state
