"""A zero byte is in no name. PostgreSQL fails on it instead of finding nothing, so none may come so far."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stellwerk.settings import DatabaseSettings, Settings
from support.plane import running_plane

ENDLESS = ("/events/stream", "/api/events/stream")
BODIES = ({}, {"x": "\0"}, {"name": "\0", "key": "\0", "agent_id": "\0", "id": "\0", "task_id": "\0"})


def asked(path: str, operation: dict[str, Any]) -> list[str]:
    """Put zero bytes into every name of a path, and into every text of its query, one at a time."""
    filled = path.replace("{", "no-").replace("}", "")
    texts = [
        f"{filled}?{one['name']}=a%00b"
        for one in operation.get("parameters", ())
        if one["in"] == "query" and "integer" not in str(one["schema"])
    ]
    return [*texts, *([path.replace("{", "a%00").replace("}", "")] if "{" in path else [])]


@pytest.mark.slow
async def test_zero_bytes_are_refused_or_nobody_s_name_everywhere(database_url: str, tmp_path: Path) -> None:
    failed = []
    settings = replace(Settings(), database=DatabaseSettings(url=database_url))
    async with running_plane(tmp_path / "data", settings) as plane:
        for path, item in (await plane.main.get("/openapi.json"))["paths"].items():
            for method, operation in item.items():
                for target in asked(path, operation):
                    if path in ENDLESS:
                        continue
                    for body in BODIES if "requestBody" in operation else (None,):
                        answer = await plane.main.call(method.upper(), target, body)
                        if answer.status >= 500 and answer.status != 503:
                            failed.append((method, target, body, answer.status))
    assert failed == []
