"""Seats against a model that goes through everybody for every choice."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stellwerk.work import rosters
from stellwerk.work.matching import Attributes, matches
from stellwerk.work.requirements import Form, split_queue_key
from stellwerk.work.seats import Seat, Seats
from stellwerk.work.task import Holder
from support.seating import RecordingChannel, assignment, waiting

FORMS = {
    "any": Form(),
    "x": Form(capabilities=("x",)),
    "xy": Form(capabilities=("x", "y"), agent_type="worker"),
    "s": Form(services=("s",), min_health_score=0.5),
    "l": Form(labels=(("zone", "1"),)),
}
QUEUES = [*FORMS, *(f"{form}@g{group}" for form in FORMS for group in range(3))]
ATTRIBUTES = st.builds(
    Attributes,
    kind=st.sampled_from(["worker", "other"]),
    capabilities=st.frozensets(st.sampled_from("xy")),
    services=st.frozensets(st.just("s")),
    labels=st.frozensets(st.just(("zone", "1"))),
    health=st.sampled_from([0.3, 1.0]),
)
HOLDERS = st.builds(Holder, st.sampled_from(["g0", "g1", "g2"]), st.sampled_from(["1", "2"]))


@dataclass
class Modelled:
    attributes: Attributes
    capacity: int
    accepting: bool
    held: dict[str, int] = field(default_factory=dict)

    def takes(self, holder: Holder, queue_key: str) -> bool:
        form_id, group = split_queue_key(queue_key)
        return (
            self.accepting
            and len(self.held) < self.capacity
            and group in (None, holder.group)
            and matches(FORMS[form_id], self.attributes)
        )


class SeatsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.seats = Seats(FORMS.get)
        self.model: dict[Holder, Modelled] = {}
        self.tasks = 0

    @rule(holder=HOLDERS, attributes=ATTRIBUTES, capacity=st.integers(0, 3), accepting=st.booleans())
    def connect(self, holder: Holder, attributes: Attributes, capacity: int, accepting: bool) -> None:
        before = self.model.get(holder)
        held = before.held if before else {}
        self.model[holder] = Modelled(attributes, capacity, accepting, dict(held))
        self.seats.connect(Seat(holder, attributes, capacity, RecordingChannel(), accepting), held.items())

    @rule(holder=HOLDERS)
    def disconnect(self, holder: Holder) -> None:
        there = self.seats.get(holder)
        if there is not None:
            assert self.seats.disconnect(there)
            del self.model[holder]

    @rule(holder=HOLDERS, attributes=ATTRIBUTES, accepting=st.booleans())
    def change(self, holder: Holder, attributes: Attributes, accepting: bool) -> None:
        self.seats.change(holder, attributes, accepting=accepting)
        if holder in self.model:
            self.model[holder].attributes, self.model[holder].accepting = attributes, accepting

    @rule(holder=HOLDERS)
    def claim(self, holder: Holder) -> None:
        self.tasks += 1
        self.seats.hold(holder, f"claim-{self.tasks}", 1)
        if holder in self.model:
            self.model[holder].held[f"claim-{self.tasks}"] = 1

    @precondition(lambda self: any(modelled.held for modelled in self.model.values()))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        leases = [(holder, task) for holder, modelled in self.model.items() for task in modelled.held]
        holder, task = data.draw(st.sampled_from(leases))
        self.seats.release(holder, task, 1)
        self.seats.release(holder, task, 1)
        del self.model[holder].held[task]

    @rule(queues=st.lists(st.sampled_from(QUEUES), min_size=1, max_size=4), lost=st.booleans())
    def lease(self, queues: list[str], lost: bool) -> None:
        found = {queue: roster for queue in queues if (roster := self.seats.roster_of(queue)) is not None}
        for queue in set(queues) - set(found):
            assert not any(modelled.takes(holder, queue) for holder, modelled in self.model.items())
        choice = self.seats.borrow(found)
        leased = []
        for queue in found:
            self.tasks += 1
            task = f"task-{self.tasks}"
            holder = choice.choose(waiting(task, queue))
            takers = {who: len(it.held) for who, it in self.model.items() if it.takes(who, queue)}
            if holder is None:
                assert not takers
                continue
            assert takers[holder] == min(takers.values())
            self.model[holder].held[task] = 1
            leased.append(assignment(task, holder))
        if lost:
            for one in leased:
                del self.model[one.holder].held[one.task_id]
        self.seats.give_back(choice, () if lost else leased)

    @invariant()
    def figures_agree(self) -> None:
        for holder, modelled in self.model.items():
            assert self.seats.held(holder) == modelled.held
        assert self.seats.figures().active == sum(len(modelled.held) for modelled in self.model.values())
        assert self.seats._rosters.in_use() <= 6


def test_seats_choose_as_if_everybody_were_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosters, "ROSTER_LIMIT", 3)
    monkeypatch.setattr(rosters, "NAMED_LIMIT", 3)
    case = SeatsMachine.TestCase
    case.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
    case("runTest").debug()
