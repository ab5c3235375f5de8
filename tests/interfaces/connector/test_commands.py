"""What a caller calls its change is found in the journal, beside what changed."""

from typing import Any

import pytest

from interfaces.connector.conftest import EVERYTHING, PREFIXES, Site

COMMAND = {"X-Command-ID": "deploy-4711", "X-Command-Source": "ci/canary"}
SAID = {"command_id": "deploy-4711", "command_source": "ci/canary"}
CHANGES: list[tuple[str, str, Any, str]] = [
    ("PUT", "hello/versions/2.0.0/weight", {"weight": 100}, "agent.weights"),
    ("PUT", "hello/weights", {"weights": {"1.0.0": 1, "2.0.0": 2}}, "agent.weights"),
    ("PATCH", "hello", {"sticky": True}, "agent.options"),
    ("POST", "hello/versions/2.0.0/restart?force=true&wait_s=0", None, "agent.restart_requested"),
    ("DELETE", "hello/versions/2.0.0", None, "agent.weights"),
]


async def events(site: Site, kind: str) -> list[dict[str, Any]]:
    return list((await site.api.get(f"/events?kind={kind}"))["events"])


@pytest.mark.parametrize("prefix", [*PREFIXES, "/api/v1/traffic"])
@pytest.mark.parametrize(("method", "path", "body", "kind"), CHANGES, ids=lambda value: str(value)[:20])
async def test_the_command_is_kept_with_the_change(
    site: Site, prefix: str, method: str, path: str, body: Any, kind: str
) -> None:
    caller = site.caller if prefix in PREFIXES else site.api
    answer = await caller.call(method, f"{prefix}/reasoners/{path}", body, headers=COMMAND)
    assert answer.status < 300 or path.endswith("wait_s=0"), answer
    event = (await events(site, kind))[-1]
    assert SAID.items() <= event["data"].items()
    assert event["principal"] == ("connector:configured" if prefix in PREFIXES else "local")


async def test_without_one_nothing_is_said(site: Site) -> None:
    await site.caller.call("PATCH", "/connector/reasoners/hello", {"sticky": True})
    assert (await events(site, "agent.options"))[-1]["data"] == {"changed": ["sticky"]}


@pytest.mark.parametrize("header", ["X-Command-ID", "X-Command-Source"])
@pytest.mark.parametrize("text", ["x" * 201, "tab\there", "umlaut \xe4"])
async def test_a_command_that_does_not_fit_is_400_and_changes_nothing(
    site: Site, header: str, text: str
) -> None:
    before = await site.weights()
    answer = await site.caller.call(
        "PUT", "/connector/reasoners/hello/weights", {"weights": {"1.0.0": 5}}, headers={header: text}
    )
    assert answer.status == 400
    assert await site.weights() == before


async def test_a_token_without_the_right_leaves_no_event_of_a_change(site: Site) -> None:
    caller = await site.connector(*(name for name in EVERYTHING if name != "versions:write"))
    before = await events(site, "agent.weights")
    for_canary = {"weights": {"1.0.0": 5}}
    answer = await caller.call("PUT", "/connector/reasoners/hello/weights", for_canary, headers=COMMAND)
    assert answer.status == 403
    assert await events(site, "agent.weights") == before
