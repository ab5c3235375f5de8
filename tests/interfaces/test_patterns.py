"""Texts are bounded as described: nothing passes that is more than its pattern."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from stellwerk.http.texts import STORABLE
from support.plane import Plane

LINE_END = "\n"


def patterns(node: Any) -> Iterator[str]:
    """Go through every pattern of a description."""
    if isinstance(node, dict):
        if isinstance(found := node.get("pattern"), str):
            yield found
        for value in node.values():
            yield from patterns(value)
    elif isinstance(node, list):
        for value in node:
            yield from patterns(value)


async def test_no_pattern_of_an_interface_lets_a_line_end_pass(plane: Plane) -> None:
    found = set(patterns(await plane.main.get("/openapi.json")))
    assert len(found) > 10
    open_ended = {one for one in found if one.endswith("$") and not one.endswith(r"(?!\n)$")}
    assert open_ended == set()
    for pattern in found - {STORABLE}:  # a reason may have several lines
        assert re.search(pattern, LINE_END) is None, pattern


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/agents/register", {"agent_id": "a1\n", "agent_type": "worker"}),
        ("/agents/register", {"agent_id": "a1", "agent_type": "worker", "version": "1\n"}),
        ("/keys", {"name": "ci\n", "scopes": ["tasks:read"]}),
        ("/api/v1/traffic/tokens", {"name": "ci\n", "capabilities": ["versions:read"]}),
        ("/api/v1/nodes/register", {"id": "hello\n", "base_url": "http://127.0.0.1:1"}),
        ("/api/v1/nodes/register", {"id": "hello", "base_url": "http://127.0.0.1:1\n"}),
        ("/api/v1/executions/batch-status", {"execution_ids": ["exec\n"]}),
        ("/api/v1/admin/agent-tokens", {"name": "agent\n"}),
    ],
)
async def test_a_text_with_a_line_end_behind_it_is_refused(plane: Plane, path: str, body: Any) -> None:
    answer = await plane.main.call("POST", path, body)
    assert answer.status in (400, 422), answer
    assert (await plane.main.get("/events"))["events"] == []
