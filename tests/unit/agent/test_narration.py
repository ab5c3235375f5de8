"""What a task tells is numbered, masked and thinned out."""

import asyncio
from typing import Any

import pytest

from stellwerk.agent import narration as module
from stellwerk.agent.masking import Masks
from stellwerk.agent.narration import Narration
from support.clock import FakeClock


class Told:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]


def narration(told: Told, restarts: int = 0) -> Narration:
    return Narration("t", Masks({"password": "hunter22"}), told, FakeClock(), restarts)


async def test_lines_are_numbered_from_zero_and_split() -> None:
    told = Told()
    narration(told).log("info", "one\ntwo")
    assert [(line["seq"], line["message"]) for line in told.messages] == [(0, "one"), (1, "two")]


async def test_lines_after_a_restart_are_not_taken_for_repeated_ones() -> None:
    told = Told()
    narration(told, restarts=1).log("info", "again")
    assert told.messages[0]["seq"] == module.RESTART_STEP


async def test_a_secret_that_spans_lines_is_hidden_before_they_are_split() -> None:
    told = Told()
    Narration("t", Masks({"key": "abc\ndef"}), told, FakeClock()).log("info", "x abc\ndef y")
    assert told.messages[0]["message"] == "x *** y"


async def test_progress_never_goes_back_and_its_last_word_is_told() -> None:
    told = Told()
    one = narration(told)
    for percent in (10, 60, 40, 130):
        one.progress(percent, "at hunter22")
    one.close()
    assert told.of("task_progress")[-1] == {"type": "task_progress", "progress": 100, "message": "at ***"}


async def test_progress_is_told_at_most_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    one = narration(told)
    one.progress(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    for percent in range(2, 50):
        one.progress(percent)
    await asyncio.sleep(0.01)
    assert [message["progress"] for message in told.messages] == [1]
    one.close()
    assert [message["progress"] for message in told.messages] == [1, 49]


async def test_a_flood_is_cut_with_a_mark_that_counts() -> None:
    told = Told()
    one = narration(told)
    for number in range(3000):
        one.log("info", str(number))
    one.close()
    lines = told.of("task_log")
    assert len(lines) < 1500
    assert "lines dropped" in lines[-1]["message"]
    assert [line["seq"] for line in lines] == list(range(len(lines)))


async def test_a_long_line_is_cut_with_a_mark() -> None:
    told = Told()
    narration(told).log("info", "x" * 9000)
    assert told.messages[0]["message"].endswith("[1000 characters cut]")


async def test_a_log_that_is_too_long_ends_with_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TASK_CHARACTERS", 100)
    told = Told()
    one = narration(told)
    for _ in range(10):
        one.log("info", "y" * 60)
    assert [line["message"][:13] for line in told.messages] == ["y" * 13, "y" * 13, "[the log ends"]
