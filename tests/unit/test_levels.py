"""Which lines of the log are wanted."""

import logging

from stellwerk.levels import Levels


def test_change_holds_for_all_below_a_name_and_ends_in_time() -> None:
    now = [100.0]
    levels = Levels("warning", lambda: now[0])
    levels.set("stellwerk.work", "debug", for_s=60)
    levels.set("stellwerk.work.sweeper", "error")

    assert levels.wants("stellwerk.work.dispatch", logging.DEBUG)
    assert not levels.wants("stellwerk.workshop", logging.INFO)
    assert not levels.wants("stellwerk.work.sweeper", logging.WARNING)

    now[0] = 160.0
    assert not levels.wants("stellwerk.work.dispatch", logging.INFO)
    assert [(one.logger, left) for one, left in levels.changes()] == [("stellwerk.work.sweeper", None)]

    levels.reset("stellwerk.work.sweeper")
    assert levels.wants("stellwerk.work.sweeper", logging.WARNING)
    assert levels.changes() == []
