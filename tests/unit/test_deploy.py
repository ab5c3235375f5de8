"""What is in `deploy/` and `compose.yaml` fits the program: its settings, its flags, its names."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from stellwerk.cli.main import app

ROOT = Path(__file__).parents[2]
REPLICAS = ("replica-1", "replica-2", "replica-3")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_composed_replicas_are_alike_and_their_settings_are_ours(compose: dict[str, Any]) -> None:
    first, *others = (compose["services"][name] for name in REPLICAS)
    assert others == [first, first]
    command, *flags = first["command"]
    assert command == "serve"
    settings = [word for flag in flags if flag.startswith("--set=") for word in ("--set", flag[6:])]
    shown = CliRunner().invoke(app, ["settings", *settings])
    assert shown.exit_code == 0, shown.output
    known = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).stdout
    for flag in flags:
        assert flag.partition("=")[0] in known


def test_composed_replicas_share_the_folder_of_the_authority_and_nothing_else(
    compose: dict[str, Any],
) -> None:
    replica = compose["services"]["replica-1"]
    flags = dict(flag.removeprefix("--set=").partition("=")[::2] for flag in replica["command"][1:])
    (shared,) = replica["volumes"]
    assert flags["trust.authority_dir"].startswith(shared.partition(":")[2] + "/")
    assert replica["tmpfs"][0].partition(":")[0] == flags["--data-dir"]


def test_the_balancer_is_given_every_address_that_its_configuration_names(compose: dict[str, Any]) -> None:
    named = set(re.findall(r"\"\$\{(\w+)\}\"", (ROOT / "deploy" / "haproxy.cfg").read_text()))
    given = compose["services"]["balancer"]["environment"]
    assert set(given) == named
    assert {address.partition(":")[0] for name, address in given.items() if "REPLICA" in name} == set(
        REPLICAS
    )
