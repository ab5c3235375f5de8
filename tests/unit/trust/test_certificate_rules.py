"""The rules of certificates: judging, renewing, promoting, and which of two readings is newer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.trust.certificates.changing import promotion
from stellwerk.trust.certificates.facts import CertificateFacts
from stellwerk.trust.certificates.judging import DETAILS, Code, Identity, Refused, Rules, judge
from stellwerk.trust.certificates.record import RANK, Record, State, newer, state_at
from stellwerk.trust.certificates.renewing import Mint, NotNow, Repeat, plan_renewal, renewal_is_due
from stellwerk.trust.certificates.table import CertificateTable

S = 1_000_000
RULES = Rules(superseded_grace_us=300 * S, renew_after_expiry_us=0)
LENIENT = Rules(superseded_grace_us=300 * S, renew_after_expiry_us=3_600 * S)
BEGIN, END = 1_000 * S, 87_400 * S


def record(state: State = State.ACTIVE, **fields: object) -> Record:
    known = Record("5e1", "root", "a-1", "key", "thumb", state, BEGIN, END, BEGIN)
    return replace(known, **fields)  # type: ignore[arg-type]  # a test's own words


FACTS = CertificateFacts("5e1", "a-1", "thumb", BEGIN, END)


def code(found: Identity | Refused) -> Code | None:
    return found.code if isinstance(found, Refused) else None


@pytest.mark.parametrize(
    ("known", "at", "expected"),
    [
        (record(), BEGIN, None),
        (record(), END - 1, None),
        (record(), END, Code.EXPIRED),
        (record(), BEGIN - 1, Code.NOT_YET_VALID),
        (record(State.ISSUED), BEGIN, None),
        (record(State.INTENDED, thumbprint=None), BEGIN, Code.UNKNOWN),
        (record(State.REVOKED), BEGIN, Code.REVOKED),
        (record(State.REVOKED), END, Code.REVOKED),
        (record(State.SUPERSEDED, superseded_at=BEGIN), BEGIN + 299 * S, None),
        (record(State.SUPERSEDED, superseded_at=BEGIN), BEGIN + 300 * S, Code.SUPERSEDED),
        (record(thumbprint="other"), BEGIN, Code.UNKNOWN),
        (record(agent_id="a-2"), BEGIN, Code.UNKNOWN),
        (None, BEGIN, Code.UNKNOWN),
        (None, END, Code.EXPIRED),
    ],
)
def test_a_certificate_is_judged_by_its_record_and_the_time(
    known: Record | None, at: int, expected: Code | None
) -> None:
    assert code(judge(FACTS, known, at, RULES)) is expected


@pytest.mark.parametrize("state", [State.INTENDED, State.SUPERSEDED, State.REVOKED])
def test_only_a_current_certificate_renews_after_its_end(state: State) -> None:
    assert isinstance(judge(FACTS, record(), END, LENIENT, renewing=True), Identity)
    assert isinstance(judge(FACTS, record(), END, LENIENT), Refused)
    assert isinstance(judge(FACTS, record(), END + 3_600 * S, LENIENT, renewing=True), Refused)
    other = record(state, superseded_at=END if state is State.SUPERSEDED else None)
    assert isinstance(judge(FACTS, other, END, LENIENT, renewing=True), Refused)


def test_a_judgement_never_names_another_agent_than_the_record() -> None:
    found = judge(FACTS, record(), BEGIN, RULES)
    assert found == Identity("a-1", "5e1", "thumb", BEGIN, END, State.ACTIVE)


def test_every_refusal_says_what_would_help() -> None:
    assert set(DETAILS) == set(Code)


def test_renewal_is_due_after_two_thirds_if_asked_else_in_the_last_hour_of_a_day() -> None:
    day = 86_400 * S
    assert not renewal_is_due(0, day, day * 2 // 3 - 1, asked=True)
    assert renewal_is_due(0, day, day * 2 // 3, asked=True)
    assert not renewal_is_due(0, day, day - 3_600 * S - 1, asked=False)
    assert renewal_is_due(0, day, day - 3_600 * S, asked=False)


NOW = BEGIN + 60_000 * S


def test_a_renewal_waiting_for_its_use_is_repeated_for_its_key_only() -> None:
    waiting = record(State.ISSUED, serial="5e2", key_hash="new", not_before=NOW, not_after=NOW + END)
    waiting = replace(waiting, intended_at=NOW - 60 * S)
    assert plan_renewal([record(), waiting], "5e1", "new", NOW) == Repeat("5e2")
    assert plan_renewal([record(), waiting], "5e1", "third", NOW) == Mint()
    assert plan_renewal([record(), waiting], "5e1", "new", NOW + END) == Mint()


def test_a_renewal_under_way_is_waited_for() -> None:
    under_way = record(State.INTENDED, serial="5e2", key_hash="new", intended_at=NOW - 5 * S)
    assert plan_renewal([record(), under_way], "5e1", "new", NOW) == NotNow()
    assert plan_renewal([record(), under_way], "5e1", "new", NOW + 5 * S) == Mint()


@pytest.mark.parametrize("state", [State.INTENDED, State.SUPERSEDED, State.REVOKED])
def test_what_is_not_current_does_not_renew(state: State) -> None:
    assert plan_renewal([record(state)], "5e1", "new", NOW) == NotNow()
    assert plan_renewal([], "5e1", "new", NOW) == NotNow()


def test_the_first_use_supersedes_older_certificates_and_leaves_later_ones() -> None:
    used = record(State.ISSUED, serial="5e2", intended_at=BEGIN + 2)
    lost = record(State.ISSUED, serial="5e3", intended_at=BEGIN + 1)
    later = record(State.ISSUED, serial="5e4", intended_at=BEGIN + 3)
    changed = {one.serial: one.state for one in promotion([record(), lost, used, later], "5e2", NOW)}
    assert changed == {"5e1": State.SUPERSEDED, "5e2": State.ACTIVE, "5e3": State.SUPERSEDED}
    assert promotion([record()], "5e1", NOW) == []
    assert promotion([record(State.REVOKED)], "5e1", NOW) == []


STATES = st.sampled_from([state for state in State if state is not State.EXPIRED])
READINGS = st.builds(lambda state, at: record(state, changed_at=at), STATES, st.integers(0, 5))


@given(st.lists(READINGS, min_size=1), st.randoms())
def test_readings_in_any_order_end_in_the_same_state(readings: list[Record], random) -> None:  # type: ignore[no-untyped-def]  # hypothesis hands it in
    shuffled = list(readings)
    random.shuffle(shuffled)
    ends = []
    for order in (readings, shuffled):
        known: Record | None = None
        for reading in order:
            known = newer(known, reading)
        ends.append(known)
    assert ends[0] == ends[1]
    assert ends[0] is not None
    assert RANK[ends[0].state] == max(RANK[one.state] for one in readings)


def test_the_table_tells_of_a_revocation_once_and_forgets_what_has_ended() -> None:
    table = CertificateTable()
    assert table.take([record()]) == set()
    assert table.take([record(State.REVOKED)]) == {"a-1"}
    assert table.take([record(State.REVOKED), record()]) == set()
    assert [one.serial for one in table.revoked()] == ["5e1"]
    table.forget(END)
    assert len(table) == 1
    table.forget(END + 1)
    assert (len(table), table.of_agent("a-1")) == (0, [])


def test_expiry_follows_from_the_time_and_revocation_stays() -> None:
    assert state_at(record(), END - 1) is State.ACTIVE
    assert state_at(record(), END) is State.EXPIRED
    assert state_at(record(State.REVOKED), END) is State.REVOKED
