"""Generated requests, valid and not, against a real server: no 5xx, no undocumented answer."""

import time
from pathlib import Path

import pytest

from e2e.generated.drive import run_schemathesis
from e2e.generated.parts import PARTS, SLICE, Part
from e2e.generated.soak_report import record


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generated_requests_get_documented_answers(tmp_path: Path) -> None:
    report = run_schemathesis(tmp_path, SLICE)
    assert report["test_cases"]["generated"] >= 400, report["test_cases"]


@pytest.mark.soak
@pytest.mark.timeout(5_000)
@pytest.mark.parametrize("part", PARTS, ids=[part.name for part in PARTS])
def test_every_caller_gets_documented_answers_to_many_generated_requests(
    tmp_path: Path, part: Part, request: pytest.FixtureRequest
) -> None:
    began = time.monotonic()
    database = request.getfixturevalue("new_database")() if part.postgres else None
    report = run_schemathesis(tmp_path, part, database)
    record(part, report, time.monotonic() - began)
