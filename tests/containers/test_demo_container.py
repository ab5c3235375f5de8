"""The demo's container part, on a real engine and on none."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from stellwerk.agent.executors.engine import open_engine
from stellwerk.cli.demonstration.deploying import CONTAINER, deploy_container
from stellwerk.cli.demonstration.engine import IMAGE
from stellwerk.cli.demonstration.figures import Live
from stellwerk.cli.demonstration.view import View
from support.container_lab import Lab
from support.site import Site


def shown() -> tuple[View, io.StringIO]:
    """A view, and what it shows."""
    text = io.StringIO()
    return View(Console(file=text), Live(wanted=1), {}), text


@pytest.mark.containers
async def test_agent_of_the_demo_runs_a_container_and_leaves_nothing(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", lab.docker_host)
    site, (view, text) = Site.start(tmp_path), shown()
    try:
        assert await deploy_container(site.server.url, site.server.ready_file.parent, view), text.getvalue()
    finally:
        site.stop()
    assert "demo-host runs container " in text.getvalue()
    assert "demo-host was revoked and ended by itself" in text.getvalue()
    async with open_engine(lab.docker_host) as engine:
        assert await engine.inspect(CONTAINER) is None
        images = [tag for one in await engine.get("/images/json") for tag in one.get("RepoTags") or ()]
    assert not [tag for tag in images if IMAGE in tag]


@pytest.mark.parametrize("host", ["unix:///nonexistent", "tcp://127.0.0.1:1", "ssh://somewhere"])
async def test_demo_without_an_engine_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    view, text = shown()
    assert not await deploy_container("http://127.0.0.1:1", tmp_path, view)
    assert "no container was run: " in text.getvalue()
