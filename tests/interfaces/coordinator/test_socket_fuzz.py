"""Whatever an agent sends over its WebSocket: it is told what is wrong, and nobody else notices."""

import json
from typing import Any

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from support.plane import Caller

from .frames import connected, register, submit

KINDS = ("accept", "progress", "log", "complete", "fail", "reject", "heartbeat", "resume", "drain", "x", "")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | JSON},
    optional={
        "task_id": st.sampled_from(["held", "nothing", "a/b", "\x00", "ü" * 300]) | JSON,
        "lease": st.integers(-(2**70), 2**70) | JSON,
        "progress": st.floats() | JSON,
        "result": JSON,
        "error": JSON,
        "lines": JSON,
        "load": JSON,
        "holding": JSON,
        "retryable": JSON,
    },
)


def written(value: Any) -> str:
    """Write JSON, with what strict JSON does not have as well."""
    return json.dumps(value)


MESSAGES = (
    st.text(max_size=200)
    | st.binary(max_size=200)
    | NEARLY.map(written)
    | st.lists(NEARLY, max_size=5).map(written)
    | JSON.map(written)
    | st.integers(1, 5_000).map(lambda depth: "[" * depth)
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=6))
async def test_wild_frames_are_answered_or_end_the_connection_and_harm_nobody(
    api: Caller, messages: list[str | bytes]
) -> None:
    await register(api)
    with capture_logs() as logs:
        async with connected(api) as agent:
            for message in messages:
                try:
                    if isinstance(message, bytes):
                        await agent.socket.send_bytes(message)
                    else:
                        await agent.socket.send_str(message)
                except (aiohttp.ClientError, ConnectionError):
                    break  # Ended, as it may be.
        # A well-meaning one is served as ever.
        await register(api, "good", capabilities=["good"])
        async with connected(api, "good") as good:
            task_id = await submit(api, requirements={"capabilities": ["good"]})
            assigned = await good.expect("task_assigned", task_id=task_id)
            await good.send({"type": "complete", "task_id": task_id, "lease": assigned["lease"], "result": 1})
            await good.expect("task_settled", task_id=task_id, state="succeeded")
    assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []
