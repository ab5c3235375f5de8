"""The bill of materials names what a release brings along, and nothing else as required."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def write() -> str:
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "sbom.py"], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(write())
    return made


def test_every_locked_package_is_in_it_with_its_hashes(bill: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE)
    assert len(bill["components"]) == len(pinned)
    assert all(one["hashes"] for one in bill["components"])
    assert sum(len(one["hashes"]) for one in bill["components"]) == lock.count("--hash=sha256:")


def test_what_we_depend_on_is_required_and_what_only_tests_is_not(bill: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    given = [
        *project["dependencies"],
        *(one for some in project["optional-dependencies"].values() for one in some),
    ]
    direct = {re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in given}
    scopes = {one["name"]: one["scope"] for one in bill["components"]}
    assert {scopes[name] for name in direct} == {"required"}
    assert {scopes[name] for name in ("pytest", "ruff", "mypy", "hypothesis")} == {"excluded"}
    # Not named by us, but brought along.
    assert scopes["markupsafe"] == scopes["cffi"] == "required"


def test_it_is_the_same_for_the_same_lock(bill: dict[str, Any]) -> None:
    assert json.loads(write()) == bill
