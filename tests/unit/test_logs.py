"""The program's own log does not stand in the way of the program."""

import io

from stellwerk.logs import LossyStream


def test_log_on_a_full_disk_loses_lines_and_raises_nothing() -> None:
    with io.FileIO("/dev/full", "w") as full:
        stream = LossyStream(io.TextIOWrapper(full, write_through=True))
        stream.write("told to nobody\n")
        stream.flush()


def test_log_passes_lines_on() -> None:
    told = io.StringIO()
    LossyStream(told).write("a line\n")
    assert told.getvalue() == "a line\n"
