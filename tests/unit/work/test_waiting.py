"""Flags of queues that may have tasks."""

from stellwerk.work.waiting import WaitingQueues


def test_flags_are_kept_apart_for_named_groups() -> None:
    waiting = WaitingQueues()
    for key in ("any", "f1", "any@anna", "f1@anna", "f1@bert"):
        waiting.flag(key, 1)
    assert list(waiting.shared()) == ["any", "f1"]
    assert list(waiting.named("anna")) == ["any@anna", "f1@anna"]
    assert list(waiting.named("nobody")) == []


def test_a_drained_queue_is_cleared() -> None:
    waiting = WaitingQueues()
    waiting.flag("any", 1)
    waiting.flag("any@anna", 1)
    waiting.drained(["any", "any@anna", "unknown"], waiting.revision)
    assert (list(waiting.shared()), list(waiting.named_groups())) == ([], [])


def test_a_queue_that_was_flagged_since_the_peek_stays_flagged() -> None:
    waiting = WaitingQueues()
    waiting.flag("any", 1)
    before = waiting.revision
    waiting.flag("any", 2)
    waiting.drained(["any"], before)
    assert waiting.is_flagged("any")


def test_listeners_hear_of_every_task() -> None:
    waiting, heard = WaitingQueues(), []
    waiting.on_flag(lambda key, rank: heard.append((key, rank)))
    waiting.flag("any", 1)
    waiting.flag("any", 2)
    assert heard == [("any", 1), ("any", 2)]
