"""A model that hangs, babbles, loops or refuses ends in what is proven, with a note that says what it did."""

from typing import Any

import pytest
from msgspec.structs import replace

from interfaces.incidents.conftest import SESSION, Desk, OpenDesk, request
from interfaces.incidents.test_providers import AGREEING, KEY, settings_for
from stellwerk.inquiry.reasoning.opinion import Opinion
from stellwerk.inquiry.sessions import store
from stellwerk.inquiry.sessions.packing import pack
from stellwerk.inquiry.sessions.session import Phase
from stellwerk.journal.event import EventFilter
from support.inquiry import Office, RecordedDetective, RuledChoice, opening
from support.model_server import Fail, Hang, Say, call, model_server

pytest.importorskip("pydantic_ai", reason="the extra llm is not installed")

REFUSAL = f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'
LOOP = call("list_objects", kind="Pod")
BAD: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "hangs": ((Hang(),), {"timeout_s": 0.3, "retries": 1}, "no answer within 0.3 s"),
    "babbles": ((Say("I think it is the network."),), {}, "the answer holds no JSON object"),
    "writes half a JSON": ((Say('{"summary": "bro'),), {}, "the answer holds no JSON object"),
    "sends bytes": ((Fail(200, "<html>not a model</html>"),), {}, "could not be read"),
    "loops": ((LOOP,), {}, "the model asked for more instead of answering"),
    "calls what is not there": ((call("delete_pod", name="x"),), {}, "asked for more"),
    "spends its turns": ((call("read_logs", pod="a"),), {"turns": 2}, "asked for more"),
    "spends its tokens": ((LOOP,), {"tokens": 200}, "the budget of 200 tokens is spent"),
    "is limited": ((Fail(429, "{}", {"retry-after": "0"}),), {"retries": 1}, "HTTP 429"),
    "fails": ((Fail(503),), {"retries": 0}, "HTTP 503"),
    "refuses the key": ((Fail(401, REFUSAL),), {}, "the provider refused the key (HTTP 401)"),
    "echoes the key": ((Fail(400, REFUSAL),), {}, "[masked]"),
}


async def result_of(desk: Desk) -> Any:
    session_id = await desk.ended(request())
    return await desk.caller.get(f"{SESSION}/{session_id}/result")


@pytest.mark.parametrize("bad", BAD)
async def test_investigation_ends_with_what_is_proven_whatever_the_model_does(
    open_desk: OpenDesk, bad: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    turns, more, note = BAD[bad]
    async with (
        model_server(*turns) as server,
        open_desk(RecordedDetective("image-tag-absent.0"), llm=settings_for(server, **more)) as desk,
    ):
        result = await result_of(desk)
        events = await desk.office.journal.page(EventFilter(), limit=500)
    opinion = result["model_opinion"]
    assert (opinion["verdict"], result["root_cause_analysis"]["cause"]) == ("none", "ImagePullFailed")
    assert note in "; ".join(opinion["notes"]), opinion["notes"]
    assert any(line.startswith("The model gave no opinion") for line in result["warnings"])
    assert len(server.requests) <= 12
    shown = (
        str(result) + "".join(one.data for one in events.events) + caplog.text + "".join(capfd.readouterr())
    )
    assert KEY not in shown


async def test_what_a_model_makes_up_is_shown_as_unsupported_and_accuses_nobody(open_desk: OpenDesk):
    made_up = {**AGREEING, "root_objects": ["Service/payments"], "claims": [{"claim": "x", "evidence": []}]}
    async with (
        model_server(call("submit_result", **made_up)) as server,
        open_desk(RecordedDetective("crash-without-words.0"), llm=settings_for(server)) as desk,
    ):
        result = await result_of(desk)
    assert (result["investigation_outcome"], result["model_opinion"]["verdict"]) == (
        "inconclusive",
        "unsupported",
    )
    assert result["root_cause_analysis"]["root_objects"] == []


async def test_supported_root_goes_further_than_the_rules_and_waits_for_review(open_desk: OpenDesk):
    answer = {
        "summary": "webshop ends with exit code 3",
        "outcome": "cause_found",
        "root_objects": ["Deployment/webshop"],
        "cause": "ProgramCrashed",
        "confidence": 0.99,
        "claims": [{"claim": "container main ended with exit code 3, started again", "evidence": ["e1"]}],
    }
    async with (
        model_server(call("submit_result", **answer)) as server,
        open_desk(RecordedDetective("crash-without-words.0"), llm=settings_for(server)) as desk,
    ):
        result = await result_of(desk)
    assert (result["model_opinion"]["verdict"], result["confidence"]) == ("further", 0.6)
    assert (result["needs_human_review"], result["human_review_reason"]) == (True, "low_confidence")
    assert result["root_cause"].startswith("Not proven; the model concludes")
    assert result["root_cause_analysis"]["causal_chain"][0]["evidence"] == ["e1"]


async def test_model_that_disagrees_is_shown_and_changes_nothing(open_desk: OpenDesk):
    other = {**AGREEING, "root_objects": ["Node/node1"]}
    async with (
        model_server(call("submit_result", **other)) as server,
        open_desk(RecordedDetective("image-tag-absent.0"), llm=settings_for(server)) as desk,
    ):
        result = await result_of(desk)
    assert result["model_opinion"]["verdict"] == "disagrees"
    assert any(line.startswith("The model disagrees") for line in result["warnings"])
    assert [one["name"] for one in result["root_cause_analysis"]["root_objects"]] == ["webshop"]


async def test_riskier_workflow_is_not_taken_from_a_model(open_desk: OpenDesk):
    chooser = RuledChoice("not_managed", "not_gitops", "present", "earlier_revision", "regression")
    turns = (
        call("submit_result", **AGREEING),
        call("submit_remedy", workflow_id="rm-rf", rationale="do it"),
        call("submit_remedy", workflow_id="none", rationale="the registry has to be mended"),
    )
    async with (
        model_server(*turns) as server,
        open_desk(RecordedDetective("image-tag-absent.0"), chooser=chooser, llm=settings_for(server)) as desk,
    ):
        result = await result_of(desk)
    assert result["selected_workflow"]["workflow_id"] == "undo-rollout"
    assert any("advises against every remedy" in line for line in result["warnings"])
    assert "there is no workflow 'rm-rf' here" in str(server.requests[2])


async def test_cluster_text_is_fenced_and_what_speaks_to_the_model_is_marked(open_desk: OpenDesk):
    asked = call("read_logs", pod="webshop-6bf9c6f5b7-4wwjq", previous=True)
    async with (
        model_server(asked, call("submit_result", **AGREEING)) as server,
        open_desk(RecordedDetective("injection-in-log.0"), llm=settings_for(server)) as desk,
    ):
        await result_of(desk)
    given = str(server.requests[1]["messages"][-1])
    assert "<<DATA-" in given
    assert "[looks like an instruction]" in given


async def test_model_sees_no_other_namespace_and_no_secret(open_desk: OpenDesk):
    turns = (
        call("list_objects", kind="Secret", namespace="kube-system"),
        call("describe_object", kind="Secret", name="token"),
        call("submit_result", **AGREEING),
    )
    async with (
        model_server(*turns) as server,
        open_desk(RecordedDetective("image-tag-absent.0"), llm=settings_for(server)) as desk,
    ):
        await result_of(desk)
    assert "is no part of this investigation" in str(server.requests[1]["messages"][-1])
    assert "is not there" in str(server.requests[2]["messages"][-1])


async def test_session_goes_on_behind_what_the_model_has_said_already(open_desk: OpenDesk):
    async with (
        model_server(call("submit_result", **AGREEING)) as server,
        open_desk(RecordedDetective("image-tag-absent.0"), llm=settings_for(server)) as desk,
    ):
        office: Office = desk.office
        await office.investigations.stop()
        session = await office.investigations.open(opening(), "local")
        await _as_if_cut_off(office, session.id)
        await office.investigations.start()
        ended = await office.investigations.wait(session.id, 60.0)
    assert ended.opinion is not None
    assert (ended.opinion.summary, server.requests) == ("said before", [])


async def test_figures_of_the_model_are_counted(open_desk: OpenDesk):
    async with (
        model_server(Fail(500), call("submit_result", **AGREEING)) as server,
        open_desk(RecordedDetective("image-tag-absent.0"), llm=settings_for(server)) as desk,
    ):
        await result_of(desk)
        figures = desk.office.investigations.model_figures
    assert (figures.requests["error"], figures.requests["success"]) == (1, 1)
    assert (figures.tokens["prompt"], figures.tokens["completion"]) == (1_000, 50)
    assert figures.retries == {("rca", "success"): 1}


async def _as_if_cut_off(office: Office, session_id: str) -> None:
    """Leave a session as a process does that dies after the model's first phase."""
    session = await office.investigations.stored(session_id)
    assert session is not None
    bundle = office.detective.bundle
    said = Opinion(provider="openai", model="scripted", summary="said before")
    later = replace(session, phase=Phase.CHOOSE, conclusion=office.detective.conclude(bundle), opinion=said)
    await office.tools.database.write(lambda: store.update(later, pack(bundle)))
