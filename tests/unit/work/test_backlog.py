"""Which queue is looked at next."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stellwerk.work.backlog import Backlog
from stellwerk.work.traits import Trait


def trait_of(queue_key: str) -> Trait:
    return "capability", queue_key[0]


def yes(_: str) -> bool:
    return True


def test_the_oldest_queue_is_taken_first() -> None:
    backlog = Backlog(trait_of)
    for queue, rank in (("b", 20), ("a", 10), ("c", 30)):
        assert backlog.flag(queue, rank)
    assert [backlog.take(), backlog.take(), backlog.take(), backlog.take()] == ["a", "b", "c", None]


def test_a_queue_of_unknown_rank_is_looked_at_first() -> None:
    backlog = Backlog(trait_of)
    backlog.flag("a", 10)
    backlog.flag("b", None)
    assert backlog.take() == "b"


def test_a_task_of_higher_priority_moves_its_queue_forward() -> None:
    backlog = Backlog(trait_of)
    backlog.flag("a", 10)
    backlog.flag("b", 20)
    assert not backlog.flag("b", 30)
    assert backlog.flag("b", 5)
    assert [backlog.take(), backlog.take(), backlog.take()] == ["b", "a", None]


def test_a_drained_queue_is_forgotten_unless_it_was_flagged_meanwhile() -> None:
    backlog = Backlog(trait_of)
    backlog.flag("a", 10)
    backlog.take()
    backlog.flag("a", 40)
    backlog.flag("a", 30)
    backlog.drop("a")
    assert backlog.lowest("a") == 30
    assert backlog.take() == "a"
    backlog.drop("a")
    assert (len(backlog), backlog.take()) == (0, None)


def test_the_bound_of_a_queue_follows_what_was_leased() -> None:
    backlog = Backlog(trait_of)
    backlog.flag("a", None)
    backlog.flag("b", 20)
    assert backlog.take() == "a"
    backlog.open("a", 50)
    assert [backlog.take(), backlog.take()] == ["b", "a"]


def test_a_blocked_queue_is_left_alone_until_somebody_suits() -> None:
    backlog = Backlog(trait_of)
    backlog.flag("a1", 10)
    backlog.take()
    backlog.block("a1", 10)
    assert not backlog.flag("a1", 5)
    assert (backlog.take(), backlog.has_open()) == (None, False)
    backlog.unblock([("capability", "b")], yes, 9)
    backlog.unblock([("capability", "a")], lambda _: False, 9)
    assert backlog.take() is None
    assert backlog.unblock([("capability", "a")], yes, 9) is False
    assert backlog.take() == "a1"


def test_of_many_blocked_queues_the_oldest_are_opened() -> None:
    backlog = Backlog(trait_of)
    for number in range(100):
        backlog.flag(f"a{number}", 1_000 - number)
    while (queue := backlog.take()) is not None:
        backlog.block(queue, backlog.lowest(queue))
    assert backlog.unblock([("capability", "a")], yes, 2) is True
    assert [backlog.take(), backlog.take(), backlog.take()] == ["a99", "a98", None]


def test_an_unsuited_queue_does_not_stand_in_the_way() -> None:
    backlog = Backlog(trait_of)
    for number in range(100):
        backlog.flag(f"a{number:02}", number)
    while (queue := backlog.take()) is not None:
        backlog.block(queue, backlog.lowest(queue))
    backlog.unblock([("capability", "a")], lambda queue: queue == "a99", 1)
    assert backlog.take() == "a99"


class BacklogMachine(RuleBasedStateMachine):
    """Every waiting queue is open, taken or blocked, and the open one of the lowest bound goes first."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(trait_of)
        self.open: dict[str, int] = {}
        self.blocked: dict[str, int] = {}
        self.taken: dict[str, int | None] = {}

    @rule(queue=st.sampled_from(["a1", "a2", "b1", "b2", "c1"]), rank=st.integers(0, 50))
    def flag(self, queue: str, rank: int) -> None:
        self.backlog.flag(queue, rank)
        if queue in self.taken:
            since = self.taken[queue]
            self.taken[queue] = rank if since is None else min(since, rank)
        elif queue in self.blocked:
            self.blocked[queue] = min(self.blocked[queue], rank)
        else:
            self.open[queue] = min(self.open.get(queue, rank), rank)

    @rule()
    def take(self) -> None:
        taken = self.backlog.take()
        if taken is None:
            assert not self.open
            return
        assert self.open.pop(taken) == min([*self.open.values(), self.backlog.lowest(taken)])
        self.taken[taken] = None

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), how=st.sampled_from(["open", "block", "drop"]), rank=st.integers(0, 50))
    def put_back(self, data: st.DataObject, how: str, rank: int) -> None:
        queue = data.draw(st.sampled_from(sorted(self.taken)))
        since = self.taken.pop(queue)
        bound = rank if since is None else min(rank, since)
        if how == "open":
            self.backlog.open(queue, rank)
            self.open[queue] = bound
        elif how == "block":
            self.backlog.block(queue, rank)
            self.blocked[queue] = bound
        else:
            self.backlog.drop(queue)
            if since is not None:
                self.open[queue] = since

    @rule(letter=st.sampled_from("abc"), limit=st.integers(1, 2), suited=st.sampled_from(["1", "2", ""]))
    def unblock(self, letter: str, limit: int, suited: str) -> None:
        self.backlog.unblock([("capability", letter)], lambda queue: queue.endswith(suited), limit)
        ours = [queue for queue in self.blocked if queue.startswith(letter) and queue.endswith(suited)]
        ours.sort(key=lambda queue: (self.blocked[queue], queue))
        for queue in ours[:limit]:
            self.open[queue] = self.blocked.pop(queue)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.backlog) == len(self.open) + len(self.blocked) + len(self.taken)
        for queue, rank in (*self.open.items(), *self.blocked.items()):
            assert self.backlog.lowest(queue) == rank


def test_the_backlog_keeps_its_books() -> None:
    case = BacklogMachine.TestCase
    case.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
    case("runTest").debug()
