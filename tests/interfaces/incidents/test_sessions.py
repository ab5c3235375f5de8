"""What later versions added: cancel, snapshot, stream; the list; the configuration."""

import msgspec
import pytest

from interfaces.incidents.conftest import SESSION, Desk, OpenDesk, request
from support.inquiry import ScriptedDetective
from support.listening import CLOSED


def frames_of(text: bytes) -> list[dict[str, object]]:
    """Read server-sent events: name, id, and the decoded data."""
    found = []
    for block in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append({**msgspec.json.decode(fields["data"]), "id": fields["id"], "name": fields["event"]})
    return found


async def test_cancelled_session_is_over_and_cannot_be_cancelled_again(open_desk: OpenDesk):
    async with open_desk(ScriptedDetective(held=True)) as desk:
        session_id = await desk.submit(request())
        cancel = f"{SESSION}/{session_id}/cancel"
        running = await desk.caller.call("GET", f"{SESSION}/{session_id}/snapshot")
        assert (running.status, running.body["type"].rpartition("/")[2]) == (409, "session-in-progress")
        assert await desk.caller.post(cancel) == {"session_id": session_id, "status": "cancelled"}
        again = await desk.caller.call("POST", cancel)
        assert (again.status, again.body["type"].rpartition("/")[2]) == (409, "session-already-terminal")
        snapshot = await desk.caller.get(f"{SESSION}/{session_id}/snapshot")
    assert (snapshot["status"], snapshot["cancelled_phase"]) == ("cancelled", "rca")


async def test_stream_tells_the_whole_session_and_ends_with_it(desk: Desk):
    session_id = await desk.ended(request())
    answer = await desk.caller.call("GET", f"{SESSION}/{session_id}/stream")
    assert answer.headers["content-type"] == "text/event-stream"
    frames = frames_of(answer.body)
    names = [frame["type"] for frame in frames]
    assert names[0] == "tool_call_start"
    assert names[-2:] == ["complete", "session_ended"]
    assert "tool_result" in names
    assert [frame["turn"] for frame in frames] == list(range(len(frames)))
    assert all(frame["type"] == frame["name"] for frame in frames)
    texts = [frame["data"].get("text") for frame in frames if frame["type"] == "reasoning_delta"]
    assert "Analyzing pod logs..." in texts


async def test_stream_goes_on_behind_the_last_event_that_was_seen(desk: Desk):
    session_id = await desk.ended(request())
    whole = frames_of((await desk.caller.call("GET", f"{SESSION}/{session_id}/stream")).body)
    seen = whole[2]["id"]
    rest = await desk.caller.call(
        "GET", f"{SESSION}/{session_id}/stream", headers={"last-event-id": str(seen)}
    )
    assert [frame["id"] for frame in frames_of(rest.body)] == [frame["id"] for frame in whole[3:]]


async def test_stream_refuses_a_cursor_that_is_not_one(desk: Desk):
    session_id = await desk.ended(request())
    for cursor in ("x" * 200, "nonsense"):
        answer = await desk.caller.call(
            "GET", f"{SESSION}/{session_id}/stream", headers={"last-event-id": cursor}
        )
        assert (answer.status, answer.body["code"]) == (404, "unknown_cursor")


async def test_list_shows_the_newest_first_and_can_be_narrowed_to_a_target(desk: Desk):
    first = await desk.ended(request())
    second = await desk.ended(request(resource_name="backend"))
    listed = await desk.caller.get("/api/v1/incident/sessions")
    assert [one["session_id"] for one in listed["sessions"]] == [second, first]
    narrowed = await desk.caller.get("/api/v1/incident/sessions?target=shop/Deployment/frontend")
    assert [one["session_id"] for one in narrowed["sessions"]] == [first]


async def test_configuration_is_shown_to_the_user_of_an_open_listener(desk: Desk):
    shown = await desk.caller.get("/config")
    assert shown["session_ttl"] == "2592000s"
    assert shown["limits"]["concurrent"] == 20


@pytest.mark.parametrize(("dev_mode", "status"), [(False, 404), (True, 200)])
async def test_configuration_is_shown_elsewhere_only_in_development(
    open_desk: OpenDesk, dev_mode: bool, status: int
):
    async with open_desk(access=CLOSED, dev_mode=dev_mode) as desk:
        answer = await desk.caller.call("GET", "/config")
    assert answer.status == status
