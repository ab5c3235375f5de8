"""Codes are a table: analyzers use no other, workflows name no other, and the page shows all."""

import ast
from pathlib import Path

import yaml

from stellwerk.inquiry import analyzers
from stellwerk.inquiry.analyzers.codes import CODES
from stellwerk.inquiry.linking.actions import ACTIONS

ROOT = Path(__file__).parents[3]
FOLDER = Path(str(analyzers.__file__)).parent
WORKFLOWS = FOLDER.parent / "remedies" / "workflows"


def codes_in(file: Path) -> set[str]:
    """First arguments of `Clue(…)`, where they are written out."""
    calls = [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Clue"
    ]
    firsts = [call.args[0] for call in calls if call.args]
    return {str(one.value) for one in firsts if isinstance(one, ast.Constant)}


def test_analyzers_use_only_codes_of_the_table() -> None:
    used = {code for file in FOLDER.glob("*.py") for code in codes_in(file)}

    assert used <= set(CODES)
    assert len(used) > 50


def test_actions_are_known_for_codes_only() -> None:
    assert set(ACTIONS) <= set(CODES)


def test_page_shows_every_code() -> None:
    page = (ROOT / "docs" / "evidence.md").read_text()

    assert [code for code in CODES if f"| `{code}` | {CODES[code]} |" not in page] == []


def test_workflows_name_causes_that_exist() -> None:
    named = {
        cause for file in WORKFLOWS.glob("*.yaml") for cause in yaml.safe_load(file.read_text())["causes"]
    }

    assert named <= {*CODES, "*"}
