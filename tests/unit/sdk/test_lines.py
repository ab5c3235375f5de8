"""Log lines on their way out, and again after a broken connection."""

from stellwerk.sdk.exchange import Exchange
from stellwerk.sdk.lines import CHARACTERS_A_FRAME, KEPT_CHARACTERS, KEPT_S, LINES_A_FRAME, Lines


def logged(*texts: str) -> tuple[Exchange, Lines]:
    exchange = Exchange()
    for text in texts:
        exchange.log(text, "info")
    return exchange, Lines(exchange)


def numbers(lines: Lines, now: float) -> list[int]:
    return [line.seq for line in lines.take(now)]


def test_lines_leave_once_and_in_frames_of_bounded_size() -> None:
    exchange, lines = logged(*["x"] * (LINES_A_FRAME + 1))
    assert numbers(lines, 0.0) == list(range(1, LINES_A_FRAME + 1))
    assert numbers(lines, 0.0) == [LINES_A_FRAME + 1]
    assert numbers(lines, 0.0) == []
    for _ in range(CHARACTERS_A_FRAME // 8_192 + 1):
        exchange.log("y" * 8_192, "info")
    assert len(lines.take(0.0)) == CHARACTERS_A_FRAME // 8_192


def test_lines_of_a_broken_connection_come_again_before_newer_ones() -> None:
    exchange, lines = logged("one", "two")
    assert numbers(lines, 0.0) == [1, 2]
    exchange.log("three", "info")
    lines.recall()
    assert numbers(lines, 1.0) == [1, 2, 3]
    # And once more, should that connection break as well, before or after they were taken.
    lines.recall()
    lines.recall()
    assert numbers(lines, 2.0) == [1, 2, 3]


def test_what_was_sent_long_ago_is_taken_as_arrived() -> None:
    exchange, lines = logged("old")
    lines.take(0.0)
    exchange.log("new", "info")
    lines.take(KEPT_S + 1)
    lines.recall()
    assert numbers(lines, KEPT_S + 2) == [2]


def test_what_is_kept_is_bounded() -> None:
    exchange, lines = logged()
    for _ in range(2 * KEPT_CHARACTERS // 8_192):
        exchange.log("z" * 8_192, "info")
    while lines.take(0.0):
        pass
    lines.recall()
    again = 0
    while frame := lines.take(0.0):
        again += sum(len(line.line) for line in frame)
    assert again == KEPT_CHARACTERS
