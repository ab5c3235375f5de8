"""The small parts: load, clock, backoff, refusals, readiness, the sizes of completions."""

import asyncio
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from stellwerk.agent import outcome as outcomes
from stellwerk.agent.backoff import Backoff
from stellwerk.agent.clock import SECOND, ServerTime
from stellwerk.agent.executors.executor import Failed
from stellwerk.agent.load import LoadMeter
from stellwerk.agent.masking import Masks
from stellwerk.agent.readiness import Readiness
from stellwerk.agent.transport import Refused, Verdict, refusal
from stellwerk.agent.wire import Task
from support.agent_lab import Scripted
from support.clock import FakeClock


def write_proc(folder: Path, busy: int, idle: int) -> None:
    (folder / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1\n")
    (folder / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n")


def test_load_is_in_percent_between_two_readings(tmp_path: Path) -> None:
    write_proc(tmp_path, 100, 900)
    meter = LoadMeter(tmp_path, tmp_path)
    write_proc(tmp_path, 400, 1600)
    read = meter.read()
    assert (read["cpu"], read["memory"]) == (30.0, 75.0)
    assert 0 < read["disk"] <= 100
    assert meter.read()["cpu"] == 30.0, "two readings at once say what the last one said"


def test_what_cannot_be_had_is_left_out(tmp_path: Path) -> None:
    assert "memory" not in LoadMeter(tmp_path / "gone", tmp_path).read()


def test_the_servers_clock_is_heard_from_its_answers() -> None:
    clock = FakeClock()
    time = ServerTime(clock)
    time.heard(formatdate(clock.now_us() / SECOND + 3600, usegmt=True))
    assert abs(time.now_us() - clock.now_us() - 3600 * SECOND) <= SECOND
    time.heard("yesterday-ish")
    time.heard(None)
    assert abs(time.skew_us - 3600 * SECOND) <= SECOND


def test_pauses_double_with_full_jitter_up_to_the_cap() -> None:
    backoff = Backoff(1.0, 60.0)
    assert [backoff.next_s(1.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.next_s(0.0) == 0.0
    backoff.reset()
    assert backoff.next_s(1.0) == 1.0


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (403, "agent.revoked", Verdict.REVOKED),
        (401, "agent.unknown", Verdict.REJOIN),
        (401, "agent.certificate.expired", Verdict.REJOIN),
        (401, "agent.certificate.superseded", Verdict.REJOIN),
        (401, "agent.certificate.not_yet_valid", Verdict.LATER),
        (409, "agent.session.conflict", Verdict.CONFLICT),
        (429, "rate", Verdict.LATER),
        (503, "", Verdict.LATER),
        (599, "", Verdict.LATER),
        (409, "task.already_completed", Verdict.FINAL),
        (404, "", Verdict.FINAL),
    ],
)
def test_what_a_refusal_means(status: int, code: str, verdict: Verdict) -> None:
    assert Refused(status, code, "").verdict is verdict


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"error":"text"}', b"\xff"])
def test_a_refusal_without_the_agreed_body_keeps_its_status(raw: bytes) -> None:
    assert (refusal(502, raw).status, refusal(502, raw).code) == (502, "")


def test_a_refusal_says_when_to_come_back() -> None:
    raw = b'{"error":{"code":"busy","message":"m"},"requestId":"r"}'
    assert (refusal(503, raw, "7").retry_after_s, refusal(503, raw, "soon").retry_after_s) == (7.0, None)


async def test_a_capability_that_stops_working_degrades_and_one_that_never_did_does_not() -> None:
    engine, absent = Scripted(), Scripted()
    absent.capability, absent.fault = "absent", "not installed"
    readiness = Readiness({"a": engine, "b": engine, "c": absent})
    await readiness.probe()
    assert (readiness.capabilities, readiness.reasons({})) == (["test"], [])
    engine.fault = "the engine is gone"
    await readiness.probe()
    assert (readiness.capabilities, readiness.reasons({})) == ([], ["test: the engine is gone"])
    assert readiness.reasons({"disk": 95.0})[-1] == "disk: 95 % full"


def test_a_result_that_is_too_large_is_said_to_be() -> None:
    told: Mapping[str, Any] = outcomes.succeeded({"out": "x" * 600_000}, Masks({}))["result"]
    assert told == {"truncated": True, "sizeBytes": 600_010}


def test_a_result_that_is_no_json_does_not_lose_the_success() -> None:
    ended = outcomes.succeeded({"x": object()}, Masks({}))
    assert ended["success"] is True
    assert "cannot be written" in ended["result"]["unreadable"]


def test_the_message_of_a_failure_is_masked() -> None:
    ended = outcomes.failed(Failed("x.y", "login hunter22 failed", retriable=True), Masks({"p": "hunter22"}))
    assert ended["error"] == {"type": "x.y", "message": "login *** failed", "retriable": True}


def test_the_last_lines_that_fit_go_with_a_completion() -> None:
    lines = [{"seq": seq, "message": "z" * 1000} for seq in range(1000)]
    kept = outcomes.last_lines(lines)
    assert kept[-1]["seq"] == 999
    assert 300 < len(kept) < 400


def test_a_task_prints_no_secret() -> None:
    assert "hunter22" not in repr(Task(task_id="t", task_type="x", credentials={"p": "hunter22"}))


async def test_a_second_agent_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    from stellwerk.agent.program import CannotStart, locked

    with locked(tmp_path), pytest.raises(CannotStart, match="--data-dir"), locked(tmp_path):
        pass
    with locked(tmp_path):
        await asyncio.sleep(0)
