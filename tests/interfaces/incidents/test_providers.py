"""The whole flow with a model, in each provider's wire format, over HTTP: tools, cause, remedy, result."""

from dataclasses import replace
from typing import Any

import pytest

from interfaces.incidents.conftest import SESSION, OpenDesk, request
from stellwerk.settings import LlmSettings
from support.inquiry import RecordedDetective, RuledChoice
from support.model_server import ModelServer, Say, call, model_server

pytest.importorskip("pydantic_ai", reason="the extra llm is not installed")

KEY = "test-key-of-the-provider-0042"
BASE = LlmSettings(model="scripted", api_key=KEY, price_prompt=2.0, price_completion=10.0)
PROVIDERS = {
    "openai": ({"headers": {"X-Team": "sre"}}, "/v1/chat/completions", "authorization"),
    "ollama": ({}, "/v1/chat/completions", "authorization"),
    "azure": (
        {"azure_api_version": "2024-10-21"},
        "/openai/deployments/scripted/chat/completions?api-version=2024-10-21",
        "api-key",
    ),
    "vertex": (
        {"vertex_project": "p"},
        "/v1beta1/projects/p/locations/us-central1/publishers/google/models/scripted:generateContent",
        "authorization",
    ),
    "vertex_ai": (
        {"vertex_project": "p", "vertex_location": "us-east5"},
        "/v1/projects/p/locations/us-east5/publishers/anthropic/models/scripted:rawPredict",
        "authorization",
    ),
    "anthropic": ({}, "/v1/messages", "authorization"),
    "bedrock": (
        {"bedrock_region": "eu-central-1", "api_key": None},
        "/model/scripted/converse",
        "authorization",
    ),
    "huggingface": ({}, "/v1/chat/completions", "authorization"),
    "mistral": ({}, "/v1/chat/completions", "authorization"),
}
AGREEING = {
    "summary": "The image tag 2.1 of shop/web cannot be pulled",
    "outcome": "cause_found",
    "root_objects": ["Deployment/webshop"],
    "cause": "ImagePullFailed",
    "confidence": 0.9,
    "claims": [
        {"claim": "The container waits with ImagePullBackOff", "evidence": ["e1"]},
        {"claim": "Aliens changed the registry", "evidence": ["e99"]},
    ],
    "hypotheses": [{"summary": "the pull of shop/web is refused", "likelihood": "20%", "evidence": ["e2"]}],
}


def settings_for(server: ModelServer, provider: str = "openai", **more: Any) -> LlmSettings:
    return replace(BASE, provider=provider, endpoint=server.url, **more)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_flow_is_the_same_with_every_provider(
    open_desk: OpenDesk, provider: str, monkeypatch: pytest.MonkeyPatch
):
    # Bedrock signs with what the chain of AWS finds; keys go to it over TLS only.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-provider")
    more, path, header = PROVIDERS[provider]
    detective = RecordedDetective("image-tag-absent.0")
    target = detective.bundle.target.object
    chooser = RuledChoice("not_managed", "not_gitops", "present", "earlier_revision", "regression")
    turns = (
        call("describe_object", kind="Deployment", name="webshop"),
        call("submit_result", **AGREEING),
        call("submit_remedy", workflow_id="undo-rollout", rationale="the fault came with the revision"),
    )
    async with model_server(*turns) as server:
        llm = settings_for(server, provider, **more)
        async with open_desk(detective, chooser=chooser, llm=llm) as desk:
            body = request(resource_namespace=target.namespace, resource_name=target.name)
            session_id = await desk.ended(body)
            result = await desk.caller.get(f"{SESSION}/{session_id}/result")
            told = await desk.office.told(session_id)
            reasoner = desk.office.tools.reasoner
            assert reasoner is not None
            await reasoner.close()

    assert server.paths == [path] * 3, result["model_opinion"]["notes"]
    assert KEY in server.headers[0][header]
    if provider in {
        "openai",
        "ollama",
        "huggingface",
    }:  # servers of one's own know no other name for the bound
        assert {sent["max_tokens"] for sent in server.requests} == {LlmSettings().answer_tokens}
    assert all("X-Team" not in more.get("headers", {}) or sent["x-team"] == "sre" for sent in server.headers)
    opinion = result["model_opinion"]
    assert (opinion["provider"], opinion["verdict"], opinion["notes"]) == (provider, "agrees", [])
    assert [one["supported"] for one in opinion["claims"]] == [True, False]
    assert (opinion["hypotheses"][0]["likelihood"], opinion["hypotheses"][0]["supported"]) == (0.2, True)
    assert (opinion["requests"], opinion["tool_calls"], opinion["total_prompt_tokens"]) == (3, 1, 3_000)
    assert opinion["cost"] == pytest.approx((3_000 * 2 + 150 * 10) / 1e6)
    assert "Unsupported claim of the model: Aliens changed the registry" in result["warnings"]
    assert result["investigation_outcome"] == "workflow_selected"
    assert result["root_cause_analysis"]["cause"] == "ImagePullFailed"
    assert any(one["id"] == "e3" for one in result["root_cause_analysis"]["evidence"])
    for kind in ("aiagent.llm.request", "aiagent.llm.response", "aiagent.llm.tool_call"):
        assert kind in told


async def test_answer_as_prose_is_read_like_the_call_of_a_tool(open_desk: OpenDesk):
    detective = RecordedDetective("image-tag-absent.0")
    prose = 'Sure! Here it is:\n```json\n{"rootCause": "image", "rootObjects": "deployment/webshop"}\n```'
    asked = Say('I will look.\n{"name": "list_objects", "arguments": {"kind": "pods"}}')
    async with (
        model_server(asked, Say(prose)) as server,
        open_desk(detective, llm=settings_for(server)) as desk,
    ):
        session_id = await desk.ended(request())
        opinion = (await desk.caller.get(f"{SESSION}/{session_id}/result"))["model_opinion"]
    assert (opinion["verdict"], opinion["tool_calls"]) == ("agrees", 1)
    assert "evidence e3" in str(server.requests[1])
