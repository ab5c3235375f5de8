"""What operators know of functions."""

from pathlib import Path

import pytest

from stellwerk.settings import FunctionSettings, SettingsError, load_settings
from stellwerk.settings.loading import Loaded
from stellwerk.settings.printing import effective_settings

IDEMPOTENT = FunctionSettings(idempotent=True)


def loaded(tmp_path: Path, text: str, **environment: str) -> Loaded:
    file = tmp_path / "stellwerk.yaml"
    file.write_text(text)
    return load_settings(file, environment=environment)


def test_functions_are_declared_in_the_file_and_printed_so_that_they_load_again(tmp_path: Path) -> None:
    text = "traffic:\n  functions:\n    hello.greet: {idempotent: true}\n    hello.add: {}\n"
    found = loaded(tmp_path, text)
    expected = {"hello.greet": IDEMPOTENT, "hello.add": FunctionSettings()}
    assert found.settings.traffic.functions == expected
    assert loaded(tmp_path, effective_settings(found)).settings == found.settings


def test_a_variable_lists_the_targets_that_are_idempotent(tmp_path: Path) -> None:
    found = loaded(tmp_path, "{}", STELLWERK_TRAFFIC_FUNCTIONS="a.f, b.g")
    assert found.settings.traffic.functions == {"a.f": IDEMPOTENT, "b.g": IDEMPOTENT}


@pytest.mark.parametrize(
    "wrong", ["[1]", "5", "{greet: {idempotent: true}}", "{a.f: true}", "{a.f: {twice: true}}"]
)
def test_what_is_no_declaration_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError):
        loaded(tmp_path, f"traffic:\n  functions: {wrong}\n")


@pytest.mark.parametrize("weight", [-1, 10_001])
def test_a_default_weight_out_of_range_is_refused(tmp_path: Path, weight: int) -> None:
    with pytest.raises(SettingsError):
        loaded(tmp_path, f"traffic: {{first_weight: {weight}}}\n")
