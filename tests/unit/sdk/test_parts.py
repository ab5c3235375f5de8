"""The worker's small parts."""

import threading
from pathlib import Path

import pytest
import typer

from stellwerk.cli.worker import load_worker, parse_labels
from stellwerk.sdk import Worker, WorkerOptions
from stellwerk.sdk.backoff import Backoff
from stellwerk.sdk.exchange import ATTEMPT_CHARACTERS, LINE_CHARACTERS, Exchange
from stellwerk.sdk.load import LoadMeter
from stellwerk.sdk.outbox import MESSAGE_BYTES, messages
from stellwerk.sdk.streaming import Message, Parser


def test_backoff_doubles_up_to_its_cap_and_starts_over() -> None:
    backoff = Backoff(first_s=1.0, cap_s=5.0)
    assert [backoff.next_s(1.0) for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    assert backoff.next_s(0.0) == 2.5
    backoff.reset()
    assert backoff.next_s(0.5) == 0.75


def test_frames_are_joined_up_to_the_message_size() -> None:
    half = b"x" * (MESSAGE_BYTES // 2)
    assert messages([b"{}"]) == [b"{}"]
    assert messages([b"1", b"2"]) == [b"[1,2]"]
    assert messages([half, half, b"3"]) == [b"[" + half + b"," + half + b"]", b"3"]
    assert messages([half * 5, b"3"]) == [half * 5, b"3"]


def test_lines_are_cut_and_end_with_the_attempts_share() -> None:
    exchange = Exchange()
    exchange.log("x" * (LINE_CHARACTERS + 1) + "\n\ud800", "loud")
    assert [(line.seq, len(line.line), line.level) for line in exchange.lines] == [
        (1, LINE_CHARACTERS, "info"),
        (2, 1, "info"),
    ]
    for _ in range(ATTEMPT_CHARACTERS // LINE_CHARACTERS + 10):
        exchange.log("y" * LINE_CHARACTERS, "info")
    assert sum(len(line.line) for line in exchange.lines) <= ATTEMPT_CHARACTERS + 2 * LINE_CHARACTERS


def test_progress_never_goes_back_and_stays_in_range() -> None:
    exchange = Exchange()
    exchange.report(0.5, "half")
    exchange.report(0.4, "less")
    assert exchange.reported == (0.5, "half")
    exchange.report(7.0, None)
    assert exchange.reported == (1.0, None)


def test_waiting_for_cancellation_ends_when_it_comes() -> None:
    exchange = Exchange()
    assert not exchange.wait_cancelled(0.001)
    threading.Timer(0.01, exchange.cancel, ("requested",)).start()
    assert exchange.wait_cancelled(5.0)
    exchange.cancel("later")
    assert exchange.cancel_reason == "requested"


def test_load_is_in_percent() -> None:
    load = LoadMeter(since=(0, 0)).read(active_tasks=3)
    assert load["active_tasks"] == 3.0
    assert 0.0 <= load["cpu_usage"] <= 100.0
    assert 0.0 < load["memory_usage"] < 100.0
    assert "cpu_usage" not in LoadMeter().read(active_tasks=0)


def test_server_sent_events_are_put_together() -> None:
    parser = Parser()
    lines = [": ping", "", "event: a", "id: 7", "data: x", "data:y", "", "data: z", ""]
    assert [message for line in lines if (message := parser.feed(line))] == [
        Message("a", "7", "x\ny"),
        Message("message", None, "z"),
    ]


def test_type_has_one_function() -> None:
    worker = Worker()
    worker.task("a")(lambda context: None)
    with pytest.raises(ValueError, match="'a'"):
        worker.task("a")(lambda context: None)

    @worker.task()
    def named(context: object) -> None: ...

    assert worker.task_types == ("a", "named")


def test_concurrency_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        WorkerOptions(concurrency=0)


def test_worker_is_loaded_by_module_and_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("loaded_by_test.py").write_text(
        "from stellwerk.sdk import Worker\napp = Worker('a')\nother = Worker('b')\nnumber = 1\n"
    )
    assert load_worker("loaded_by_test").options.agent_id == "a"
    assert load_worker("loaded_by_test.py:other").options.agent_id == "b"
    for wrong in ("loaded_by_test:number", "loaded_by_test:nothing", "no_such_module:app"):
        with pytest.raises(typer.BadParameter):
            load_worker(wrong)


def test_labels_are_pairs() -> None:
    assert parse_labels(["zone=a", "note=x=y"]) == {"zone": "a", "note": "x=y"}
    with pytest.raises(typer.BadParameter):
        parse_labels(["zone"])
