"""Making, listing and revoking tokens, for administrators."""

from typing import Any

import pytest

from interfaces.connector.conftest import Site
from support.plane import Caller

TOKENS = "/api/v1/traffic/tokens"


def body(**more: Any) -> dict[str, Any]:
    return {"name": "ci", "capabilities": ["versions:read"], **more}


async def made(caller: Caller) -> list[dict[str, Any]]:
    """The tokens that are not configured."""
    tokens: list[dict[str, Any]] = (await caller.get(TOKENS))["tokens"]
    return [one for one in tokens if one["token_id"] != "configured"]


async def test_a_token_is_shown_once_listed_with_its_use_and_revoked(site: Site) -> None:
    token = await site.api.post(TOKENS, body(agents=["hello"], expires_in_s=3_600))
    text = token.pop("token")
    assert text.startswith(f"swc_{token['token_id']}_")
    assert token["capabilities"] == ["versions:read"]
    assert token["created_by"] == "local"
    assert await made(site.api) == [token]
    caller = site.api.with_key(text)
    await caller.get("/connector/manifest")
    revoked = await site.api.delete(f"{TOKENS}/{token['token_id']}")
    assert revoked["revoked_at"] is not None
    assert (await caller.call("GET", "/connector/manifest")).status == 401
    assert (await site.api.delete(f"{TOKENS}/{token['token_id']}")) == revoked
    kinds = [event["kind"] for event in (await site.api.get("/events?kind=connector_token.*"))["events"]]
    assert kinds == ["connector_token.created", "connector_token.revoked"]
    assert text not in str(await site.api.get("/events"))


async def test_the_configured_token_is_listed_without_its_text_and_not_revoked_here(site: Site) -> None:
    listed = await site.api.get(TOKENS)
    assert (listed["total"], listed["tokens"][0]["token_id"]) == (1, "configured")
    assert "hush" not in str(listed)
    answer = await site.api.call("DELETE", f"{TOKENS}/configured")
    assert (answer.status, answer.body["error"]) == (409, "token_is_configured")
    assert (await site.api.call("DELETE", f"{TOKENS}/nobody")).status == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " x"},
        {"capabilities": []},
        {"capabilities": ["admin"]},
        {"capabilities": ["policy_management"]},
        {"agents": []},
        {"agents": [""]},
        {"expires_in_s": 0},
        {"expires_in_s": -5},
        {"capability": ["versions:read"]},
    ],
    ids=str,
)
async def test_a_token_that_does_not_fit_is_400_and_not_made(site: Site, wrong: dict[str, Any]) -> None:
    answer = await site.api.call("POST", TOKENS, body(**wrong))
    assert answer.status == 400, answer
    assert await made(site.api) == []


async def test_tokens_are_for_who_administers_keys_and_give_no_more_than_that_one_has(site: Site) -> None:
    operator = await site.plane.key("fleet:admin")
    keeper = await site.plane.key("keys:admin")
    reader = await site.plane.key("keys:admin", "fleet:read")
    writes = body(capabilities=["versions:write"])
    for caller, wanted, told in (
        (operator, body(), "missing_scope"),
        (keeper, body(), "capabilities_exceeded"),
        (reader, writes, "capabilities_exceeded"),
    ):
        answer = await caller.call("POST", TOKENS, wanted)
        assert (answer.status, answer.body["error"]) == (403, told)
    assert await made(site.api) == []
    assert (await reader.call("POST", TOKENS, body())).status == 201
    both = await site.plane.key("keys:admin", "fleet:admin")
    assert (await both.call("POST", TOKENS, writes)).status == 201


async def test_a_connector_makes_no_tokens(site: Site) -> None:
    assert (await site.caller.call("POST", TOKENS, body())).status == 401
    assert (await site.caller.call("POST", "/connector/tokens", body())).status == 404
