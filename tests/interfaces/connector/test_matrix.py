"""Tokens × capabilities × operations × prefixes. The operations are those of the served description."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interfaces.connector.conftest import EVERYTHING, PREFIXES, Site
from stellwerk.settings import ConnectorSettings, Settings
from stellwerk.trust.connectors.capabilities import Capability, granted_by, subject_of
from support.plane import Answer, Caller, running_plane

Operation = tuple[str, str, str]
NAMES = [*EVERYTHING, "reasoner_management", "reasoner_management:read-only", "status_read"]
HEADERS = {"bearer": "Authorization", "own": "X-Connector-Token"}


async def operations(site: Site, prefix: str) -> list[Operation]:
    """List method, path and needed capability of the operations under a prefix."""
    paths: dict[str, Any] = (await site.api.get("/openapi.json"))["paths"]
    found = [
        (method.upper(), path, operation["x-required-capability"])
        for path, item in paths.items()
        for method, operation in item.items()
        if path.startswith(prefix + "/")
    ]
    assert len(found) >= 19, found
    return found


async def ask(caller: Caller, operation: Operation, agent: str = "nobody", **more: Any) -> Answer:
    """Call an operation on an agent that does not exist: whoever may is told so."""
    method, path, _ = operation
    filled = path.replace("{id}", agent).replace("{", "no-").replace("}", "")
    return await caller.call(method, filled, b"{}" if method in ("PUT", "PATCH") else None, **more)


def refused_as(prefix: str, capability: str, names: list[str]) -> dict[str, str]:
    """What a token of these names is told without a capability, in the words of the prefix."""
    if prefix == "/connector":
        text = f"capability {capability} is not enabled for this connector"
        return {"error": "capability_disabled", "message": text, "required": capability}
    subject = subject_of(Capability(capability))
    reads = {"reasoners:read", "versions:read"} & granted_by(names)
    if Capability(capability).writes and reads:
        text = f"capability {subject} is read-only; write operations are not permitted"
        return {"error": "read_only", "message": text, "required": capability}
    text = f"capability {subject} is not enabled for this connector"
    return {"error": "capability_disabled", "message": text, "required": capability}


@pytest.mark.parametrize("name", NAMES)
async def test_a_token_with_one_capability_may_that_and_nothing_else(site: Site, name: str) -> None:
    token, granted = await site.token(name), granted_by([name])
    for prefix in PREFIXES:
        for operation in await operations(site, prefix):
            for header in HEADERS.values():
                value = f"Bearer {token}" if header == "Authorization" else token
                answer = await ask(site.api, operation, headers={header: value})
                if operation[2] == "any" or operation[2] in granted:
                    assert answer.status in (200, 400, 404), (operation, answer)
                else:
                    assert answer.status == 403, (operation, answer)
                    assert answer.body == refused_as(prefix, operation[2], [name]), (operation, answer)


async def test_without_a_good_token_everything_is_401_and_alike(site: Site) -> None:
    ended = await site.token(*EVERYTHING, expires_in_s=1.1)
    revoked = await site.token(*EVERYTHING)
    (listed,) = [
        one
        for one in (await site.api.get("/api/v1/traffic/tokens"))["tokens"]
        if one["token_id"] in revoked and one["token_id"] != "configured"
    ]
    await site.api.delete(f"/api/v1/traffic/tokens/{listed['token_id']}")
    while (await site.api.with_key(ended).call("GET", "/connector/manifest")).status == 200:
        pass
    key = await site.plane.key("admin")
    wrong = {
        "none": {},
        "empty": {"Authorization": "Bearer "},
        "another scheme": {"Authorization": "Basic Y29uZmlndXJlZA=="},
        "unknown": {"Authorization": "Bearer nobody"},
        "half": {"X-Connector-Token": "configure"},
        "an API key": dict(key.headers),
        "an API key where keys are": {"X-API-Key": "configured"},
        "expired": {"X-Connector-Token": ended},
        "revoked": {"Authorization": f"Bearer {revoked}"},
        "right and wrong": {"Authorization": "Bearer configured", "X-Connector-Token": "nobody"},
    }
    text = "connector token required: send Authorization: Bearer <token>, or X-Connector-Token"
    for prefix in PREFIXES:
        for operation in await operations(site, prefix):
            for what, headers in wrong.items():
                answer = await ask(site.api, operation, "hello", headers=headers)
                assert answer.status == 401, (what, operation, answer)
                assert answer.body == {"error": "unauthorized", "message": text}, (what, operation, answer)
                assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await site.weights() == {"1.0.0": 900, "2.0.0": None}
    assert (site.one.dialled, site.two.dialled) == ([], [])


async def test_where_no_token_is_configured_nobody_gets_in(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "data") as plane:
        for prefix in PREFIXES:
            for token in ("", "None", "configured", "null"):
                for header, value in (("Authorization", f"Bearer {token}"), ("X-Connector-Token", token)):
                    answer = await plane.main.call("GET", f"{prefix}/manifest", headers={header: value})
                    assert (answer.status, answer.body["error"]) == (401, "unauthorized")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_token_for_some_agents_sees_and_touches_no_other(site: Site, prefix: str) -> None:
    caller = await site.connector(*EVERYTHING, agents=["other"])
    for operation in await operations(site, prefix):
        answer = await ask(caller, operation, "hello")
        if "{id}" in operation[1]:
            assert answer.status == 403, (operation, answer)
            assert answer.body["error"] == "agent_not_allowed"
        else:
            assert answer.status == 200, (operation, answer)
            assert "hello" not in str(answer.body), (operation, answer)
    assert await site.weights() == {"1.0.0": 900, "2.0.0": None}
    assert (site.one.dialled, site.two.dialled) == ([], [])


async def test_a_token_opens_nothing_but_the_connector(site: Site) -> None:
    paths: dict[str, Any] = (await site.api.get("/openapi.json"))["paths"]
    stranger = await site.connector(*EVERYTHING)
    for path, item in paths.items():
        for method, operation in item.items():
            if operation.get("x-required-scope"):
                answer = await ask(stranger, (method.upper(), path, ""), "hello")
                assert answer.status == 401, (method, path, answer)


async def test_routes_of_the_published_program_that_are_not_served_are_404(site: Site) -> None:
    for path in ("/admin/policies", "/configs", "/configs/x", "/reasoners/hello/nothing", "/"):
        answer = await site.caller.call("GET", f"/api/v1/connector{path}")
        assert (answer.status, answer.body["error"]) == (404, "not_found")
    for token in ({}, {"Authorization": "Bearer nobody"}):
        assert (await site.api.call("GET", "/connector/nothing", headers=token)).status == 401


async def test_who_guesses_is_slowed_down_and_nobody_is_locked_out(tmp_path: Path) -> None:
    settings = Settings(connector=ConnectorSettings(token="configured"))
    settings = replace(settings, limits=replace(settings.limits, failed_logins_per_min=5))
    async with running_plane(tmp_path / "data", settings) as plane:
        guesses = [
            await plane.main.with_key(f"guess {number}").call("GET", "/connector/manifest")
            for number in range(8)
        ]
        assert [one.status for one in guesses] == [401] * 5 + [429] * 3
        assert guesses[-1].headers["retry-after"].isdigit()
        assert (await plane.main.with_key("configured").call("GET", "/connector/manifest")).status == 200
        bare = await plane.main.call("GET", "/connector/manifest")
        assert bare.status == 401  # Who shows nothing guesses nothing.
