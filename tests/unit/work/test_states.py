"""The table of states: complete, and nothing leads where it must not."""

from itertools import product

import pytest

from stellwerk.work.states import ACTIVE, FINISHED, TRANSITIONS, State, Step, next_state

ALLOWED = {
    State.QUEUED: {Step.LEASE, Step.ENTRUST, Step.CANCEL, Step.FAIL, Step.CORRECT},
    State.LEASED: {
        Step.START,
        Step.GIVE_BACK,
        Step.RETRY,
        Step.SUCCEED,
        Step.FAIL,
        Step.EXHAUST,
        Step.ASK_TO_STOP,
    },
    State.RUNNING: {
        Step.ENTRUST,
        Step.GIVE_BACK,
        Step.RETRY,
        Step.SUCCEED,
        Step.FAIL,
        Step.EXHAUST,
        Step.ASK_TO_STOP,
    },
    State.CANCELLING: {Step.SUCCEED, Step.FAIL, Step.CANCEL},
    State.SUCCEEDED: set(),
    State.FAILED: {Step.CORRECT, Step.REQUEUE},
    State.CANCELLED: {Step.REQUEUE},
    State.DEAD: {Step.CORRECT, Step.REQUEUE},
}
LEADS_TO = {
    Step.LEASE: State.LEASED,
    Step.ENTRUST: State.RUNNING,
    Step.START: State.RUNNING,
    Step.GIVE_BACK: State.QUEUED,
    Step.RETRY: State.QUEUED,
    Step.SUCCEED: State.SUCCEEDED,
    Step.FAIL: State.FAILED,
    Step.EXHAUST: State.DEAD,
    Step.ASK_TO_STOP: State.CANCELLING,
    Step.CANCEL: State.CANCELLED,
    Step.CORRECT: State.SUCCEEDED,
    Step.REQUEUE: State.QUEUED,
}  # fmt: skip


@pytest.mark.parametrize(("state", "step"), list(product(State, Step)))
def test_each_step_from_each_state_is_decided(state: State, step: Step) -> None:
    assert next_state(state, step) == (LEADS_TO[step] if step in ALLOWED[state] else None)


def test_every_state_is_active_ended_or_waiting() -> None:
    assert ACTIVE | FINISHED | {State.QUEUED} == set(State)
    assert not ACTIVE & FINISHED


def test_a_success_is_for_good() -> None:
    assert not [state for (state, _) in TRANSITIONS if state is State.SUCCEEDED]


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    reached = {State.QUEUED}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
        reached |= more
    assert reached == set(State)
    for state in set(State) - FINISHED:
        assert {after for (before, _), after in TRANSITIONS.items() if before is state} & FINISHED
