"""What an agent's answer means, whatever it sends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from stellwerk.traffic.answers import Done, Failure, Promised, read_answer, read_failure, write_failure
from stellwerk.traffic.dialling import Answer

NOT_JSON = [b"<html>", b"{", b"\xff\xfe", b'"\xff"', b"[" * 100_000, b"NaN", b"{}{}", b"'a'"]


@pytest.mark.parametrize("body", [b"{}", b"[1,2]", b"null", b'"text"', b"5", b" true "])
def test_any_json_is_a_result(body: bytes) -> None:
    assert read_answer(Answer(200, body)) == Done(body.decode())


@pytest.mark.parametrize("body", [b"", b"  "])
def test_an_empty_answer_is_the_result_null(body: bytes) -> None:
    assert read_answer(Answer(200, body)) == Done("null")


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_no_json_is_no_result(body: bytes) -> None:
    assert read_answer(Answer(200, body)) == Failure(error="the agent's answer is not JSON", status=200)


@pytest.mark.parametrize("body", [b"", b"rubbish", b'{"status":"processing"}'])
def test_202_is_a_promise_whatever_stands_in_it(body: bytes) -> None:
    assert read_answer(Answer(202, body)) == Promised()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"detail":"Missing required field: name"}', "Missing required field: name"),
        (b'{"error":"broken","detail":"x"}', "broken"),
        (b'{"message":"no"}', "no"),
        (b'"plain"', "plain"),
    ],
)
def test_an_agents_error_is_told_in_its_words(body: bytes, error: str) -> None:
    assert read_answer(Answer(422, body)) == Failure(error=error, details=Raw(body), status=422)


@pytest.mark.parametrize("body", [*NOT_JSON, b"", b"[]", b'{"detail":[1]}', b"null"])
def test_an_error_without_words_is_told_by_its_status(body: bytes) -> None:
    said = read_answer(Answer(500, body))
    assert isinstance(said, Failure)
    assert (said.error, said.status) == ("the agent answered with status 500", 500)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure(status: int) -> None:
    said = read_answer(Answer(status, b"{}"))
    assert isinstance(said, Failure)
    assert "redirect" in said.error


@settings(deadline=None)
@given(st.integers(200, 599), st.binary(max_size=200))
def test_nothing_that_an_agent_sends_is_a_fault_of_ours(status: int, body: bytes) -> None:
    said = read_answer(Answer(status, body))
    if isinstance(said, Failure):
        assert read_failure(write_failure(said)) == said


def test_the_error_of_a_task_that_others_wrote_can_be_read() -> None:
    assert read_failure('{"code":1}') == Failure(error='{"code":1}')
    assert read_failure('"boom"') == Failure(error="boom")
    assert read_failure(None) is None
