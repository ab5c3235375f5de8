"""Ids and fingerprints of submissions."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.work.reporting import cut_line
from stellwerk.work.submitting import hash_body, new_task_id
from stellwerk.work.task import Submission

INSTANTS = st.integers(0, (1 << 48) * 1_000 - 1)


@given(INSTANTS)
def test_an_id_is_a_uuid_of_version_7_with_its_instant(now_us: int) -> None:
    task_id = uuid.UUID(new_task_id(now_us))
    assert (task_id.version, task_id.variant) == (7, uuid.RFC_4122)
    assert task_id.int >> 80 == now_us // 1_000


@given(INSTANTS, INSTANTS)
def test_ids_sort_by_their_millisecond(one: int, other: int) -> None:
    if one // 1_000 < other // 1_000:
        assert new_task_id(one) < new_task_id(other)


def test_ids_of_one_instant_differ() -> None:
    assert len({new_task_id(0) for _ in range(10_000)}) == 10_000


def test_spacing_and_order_do_not_change_the_fingerprint() -> None:
    one = Submission(task_data='{"a": [1, {"b": 2, "c": 3}]}', requirements_text='{"x": 1, "y": 2}')
    other = Submission(task_data='{"a":[1,{"c":3,"b":2}]}', requirements_text='{"y":2,"x":1}')
    assert hash_body(one) == hash_body(other)


def test_every_part_of_the_body_counts() -> None:
    bodies = [
        Submission(task_data="{}"),
        Submission(task_data='{"a":1}'),
        Submission(task_data='{"a":"1"}'),
        Submission(task_data="{}", requirements_text='{"a":1}'),
        Submission(task_data="{}", task_type="t"),
        Submission(task_data="{}", priority=20),
        Submission(task_data="{}", repeatable=False),
        Submission(task_data="{}", max_attempts=3),
        Submission(task_data="{}", not_before=5),
        Submission(task_data="{}", delay_us=5),
        Submission(task_data="{}", deadline_at=5),
        Submission(task_data="{}", timeout_us=5),
    ]
    assert len({hash_body(body) for body in bodies}) == len(bodies)


@given(st.text(), st.integers(20, 60))
def test_a_cut_line_fits_and_is_valid(line: str, limit: int) -> None:
    cut = cut_line(line, limit)
    assert len(cut.encode()) <= limit
    assert cut == line or (len(line.encode()) > limit and line.startswith(cut.removesuffix(" … (cut)")))
