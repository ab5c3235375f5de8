"""The log's levels, while a server runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.serving import Server
from typer.testing import CliRunner

from stellwerk.cli.main import app
from stellwerk.logs import LEVELS
from support.plane import Plane

PATH = "/logs/levels"


@pytest.fixture(autouse=True)
def levels_as_before() -> Iterator[None]:
    yield
    for change, _ in LEVELS.changes():
        LEVELS.reset(change.logger)


async def test_level_is_changed_for_a_time_and_told_to_the_journal(plane: Plane) -> None:
    wanted = {"logger": "stellwerk.work", "level": "debug", "for_s": 600}
    shown = await plane.main.call("PUT", PATH, wanted)
    assert (shown.status, shown.body["configured"]) == (200, "info")
    (change,) = (await plane.main.get(PATH))["changes"]
    assert (change["logger"], change["level"]) == ("stellwerk.work", "debug")
    assert 500 < change["remaining_s"] <= 600
    (event,) = (await plane.main.get("/events?kind=log.level_changed"))["events"]
    assert event["principal"] == "local"
    assert event["data"].items() >= wanted.items()

    back = await plane.main.call("PUT", PATH, {"logger": "stellwerk.work"})
    assert back.body["changes"] == []


async def test_what_names_no_logger_or_level_of_ours_changes_nothing(plane: Plane) -> None:
    for body in ({"logger": "uvicorn"}, {"level": "loud"}, {"level": "info", "for_s": 0}):
        assert (await plane.main.call("PUT", PATH, body)).status == 422
    assert (await plane.main.get(PATH))["changes"] == []
    deployer = await plane.key("services:admin")
    assert (await deployer.call("PUT", PATH, {"level": "error"})).status == 403


def test_process_writes_less_and_then_as_before(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.start(60)
    try:
        for words in (["error"], ["reset"], []):
            done = CliRunner().invoke(app, ["log-level", *words, "--server", server.url])
            assert done.exit_code == 0, done.output
            assert ("until it ends" in done.output) == (words == ["error"])
        CliRunner().invoke(app, ["log-level", "error", "--server", server.url])
        assert server.running.stop() == 0
        written = server.running.output.read_text()
    finally:
        server.running.kill()
    assert '"ready"' in written  # said before the change
    assert '"stopping"' not in written
