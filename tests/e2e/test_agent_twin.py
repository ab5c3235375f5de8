"""The deployment agent against a twin of the control plane over real TLS, with the faults of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stellwerk.agent.connection import CannotJoin, Revoked
from stellwerk.agent.executors.executor import Lost
from stellwerk.agent.identity import IdentityStore
from support.agent_lab import Scripted, running, settings_for
from support.agent_twin import Twin, serving, twin_plane


@pytest.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    async with twin_plane(tmp_path) as served:
        yield served


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "agent"


def on_disk(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


async def test_it_registers_streams_and_runs_a_task(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home, labels={"role": "deployment"}), scripted) as run:
        await twin.until(lambda: twin.frames_of("hello"))
        task = await twin.submit(payload={"a": 1})
        await asyncio.wait_for(task.done.wait(), 5)
        await run.stop()
    assert task.completions[0]["result"] == {"ran": 1, "echo": {"a": 1}}
    assert twin.registrations[0]["labels"] == {"role": "deployment"}
    assert twin.registrations[0]["capabilities"] == ["test"]
    assert [beat["status"] for beat in twin.heartbeats][-1] == "stopped"


async def test_it_fetches_tasks_with_heartbeats_where_there_is_no_stream(twin: Twin, home: Path) -> None:
    twin.streams = False
    async with running(settings_for(twin, home)):
        await twin.until(lambda: twin.heartbeats)
        task = await twin.submit()
        await asyncio.wait_for(task.done.wait(), 5)
    assert task.accepted == 1
    assert "ack" in twin.requests


async def test_a_restart_needs_no_token(twin: Twin, home: Path) -> None:
    async with running(settings_for(twin, home)) as run:
        await twin.until(lambda: twin.heartbeats)
        await run.kill()
    twin.heartbeats.clear()
    async with running(settings_for(twin, home, token=None, ca_sha256=())):
        await twin.until(lambda: twin.heartbeats)
    assert len(twin.registrations) == 1


async def test_a_lost_registration_is_repeated_with_the_same_key(twin: Twin, home: Path) -> None:
    twin.lose["register"] = 2
    async with running(settings_for(twin, home)):
        await twin.until(lambda: twin.heartbeats)
    assert len({body["csr"] for body in twin.registrations}) >= 1
    assert len(twin.registrations) == 3
    assert len(twin.names) == 1


async def test_an_agent_killed_between_receiving_and_storing_its_certificate_recovers(
    twin: Twin, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(self: IdentityStore, certificate_pem: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(IdentityStore, "keep_next", killed)
        async with running(settings_for(twin, home)) as run:
            with pytest.raises(Killed):
                await asyncio.wait_for(run.task, 5)
    async with running(settings_for(twin, home)):
        await twin.until(lambda: twin.heartbeats)
    assert len(twin.names) == 1
    assert len(twin.issued) == 1


@pytest.mark.parametrize("fault", ["lost", "killed", "disk"])
async def test_a_renewal_survives_its_faults(
    twin: Twin, home: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    async with running(settings_for(twin, home)) as run:
        await twin.until(lambda: twin.heartbeats)
        await run.kill()
    twin.offset_s = twin.life_s * 0.8
    keep = IdentityStore.keep_next
    tries: list[str] = []

    def failing(self: IdentityStore, certificate_pem: str) -> object:
        tries.append(certificate_pem)
        if fault == "disk" and len(tries) == 1:
            raise OSError(28, "No space left on device")
        if fault == "killed" and len(tries) == 1:
            run.task.cancel()
            raise asyncio.CancelledError
        return keep(self, certificate_pem)

    monkeypatch.setattr(IdentityStore, "keep_next", failing)
    twin.lose["heartbeat"] = 1 if fault == "lost" else 0
    if fault == "killed":
        async with running(settings_for(twin, home)) as run:
            await asyncio.wait({run.task}, timeout=5)
    async with running(settings_for(twin, home)):
        await twin.until(lambda: sum(one.superseded for one in twin.issued.values()) == 1)
    assert len(twin.issued) == 2, "one serial for the renewal, however often it was asked for"
    assert (home / "identity/current.pem").exists()
    assert not (home / "identity/next.pem").exists()


async def test_it_renews_by_the_servers_clock(twin: Twin, home: Path) -> None:
    twin.offset_s = 7 * 3600.0
    async with running(settings_for(twin, home)):
        await twin.until(lambda: len(twin.heartbeats) > 2)
        assert len(twin.issued) == 1, "seven hours of a wrong clock are not seven hours of its life"
        twin.offset_s += twin.life_s * 0.75
        await twin.until(lambda: len(twin.issued) == 2)


async def test_a_refused_new_certificate_is_dropped_and_the_old_one_serves_on(twin: Twin, home: Path) -> None:
    async with running(settings_for(twin, home)) as run:
        await twin.until(lambda: twin.heartbeats)
        await run.kill()
    twin.offset_s = twin.life_s * 0.8
    async with running(settings_for(twin, home)) as run:
        await twin.until(lambda: len(twin.issued) == 2)
        # As if the server had come back from a backup made before it signed.
        fresh = next(serial for serial, one in twin.issued.items() if not one.used)
        del twin.issued[fresh]
        twin.heartbeats.clear()
        await twin.until(lambda: twin.heartbeats)
    assert len(twin.registrations) == 1


async def test_a_stranger_in_between_is_refused_by_the_pin(twin: Twin, home: Path) -> None:
    twin_sha = twin.servers.sha256
    async with running(settings_for(twin, home, ca_sha256=("0" * 64,))) as run:
        with pytest.raises(CannotJoin, match=twin_sha):
            await asyncio.wait_for(run.task, 5)
    assert twin.registrations == []


async def test_a_delivery_that_comes_twice_runs_once(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted):
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await twin.redeliver(task, attempt=False)
        await twin.redeliver(task, attempt=True)
        await twin.until(lambda: task.accepted == 2)
        scripted.release.set()
        await asyncio.wait_for(task.done.wait(), 5)
        beats = len(twin.heartbeats)
        await twin.until(lambda: len(twin.heartbeats) > beats and not twin.heartbeats[-1]["tasks"])
        await twin.redeliver(task, attempt=False)
        await twin.until(lambda: len(task.completions) == 2)
    assert len(scripted.jobs) == 1
    assert task.completions[0]["lease"] == task.lease, "the end is told under the newest delivery"


async def test_a_lost_stream_in_mid_task_loses_no_line_and_no_result(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    scripted.logs = ["one", "two"]
    async with running(settings_for(twin, home), scripted):
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await twin.cut()
        scripted.release.set()
        await asyncio.wait_for(task.done.wait(), 5)
    assert len(scripted.jobs) == 1
    assert [line["message"] for line in task.completions[0]["logs"]] == ["one", "two"]
    assert [line["seq"] for line in task.completions[0]["logs"]] == [0, 1]


async def test_after_a_reconnect_it_tells_what_it_works_on(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted) as run:
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await twin.cut()
        await twin.until(lambda: len(twin.frames_of("hello")) == 2)
        scripted.release.set()
        await asyncio.wait_for(task.done.wait(), 5)
    hello = twin.frames_of("hello")[-1]
    assert hello["running"] == [{"taskId": task.task_id, "attempt": 1, "lease": task.lease}]
    assert hello["instanceId"] == run.agent.instance_id


async def test_a_completion_whose_acknowledgement_is_lost_is_told_again(twin: Twin, home: Path) -> None:
    twin.streams = False
    twin.lose["complete"] = 2
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted):
        task = await twin.submit()
        await twin.until(lambda: len(task.completions) == 3)
    assert len(scripted.jobs) == 1


async def test_a_heartbeat_that_gets_through_again_ends_every_pause(twin: Twin, home: Path) -> None:
    twin.lose["complete"] = 1
    scripted = Scripted()
    async with running(settings_for(twin, home, retry_first_s=600.0, retry_cap_s=600.0), scripted):
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        twin.streams = False
        await twin.cut()
        scripted.release.set()
        await twin.until(lambda: task.completions)
        twin.streams = True
        twin.lose["heartbeat"] = 1
        await twin.until(lambda: len(task.completions) == 2)
        await twin.until(lambda: twin.sockets)


async def test_a_completion_that_the_stream_does_not_confirm_is_asked_for(
    twin: Twin, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stellwerk.agent.uplink.STREAM_ANSWER_S", 0.2)
    twin.mute = {"task_started", "task_recorded"}
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted):
        await twin.until(lambda: twin.sockets)
        task = await twin.submit()
        await twin.until(lambda: "complete" in twin.requests)
    assert len(scripted.jobs) == 1
    assert task.accepted == 2, "once by the stream, once by the request that asks for certain"


async def test_a_result_that_was_not_told_survives_a_kill(twin: Twin, home: Path) -> None:
    twin.refuse["complete"] = (503, "server.restarting")
    twin.streams = False
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted) as run:
        task = await twin.submit()
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await twin.until(lambda: "complete" in twin.requests)
        await run.kill()
    twin.refuse.clear()
    async with running(settings_for(twin, home), scripted):
        await asyncio.wait_for(task.done.wait(), 5)
    assert len(scripted.jobs) == 1
    assert task.completions[-1]["result"] == {"ran": 1, "echo": {}}


async def test_a_task_under_way_is_adopted_after_a_kill(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted) as run:
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait", credentials={"registry.password": "hunter22"})
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await run.kill()
    assert b"hunter22" not in on_disk(home)
    scripted.adoption = {"containerId": "c1"}
    async with running(settings_for(twin, home), scripted):
        await asyncio.wait_for(task.done.wait(), 5)
    assert len(scripted.jobs) == 1
    assert task.completions[0]["result"] == {"containerId": "c1"}


async def test_a_task_whose_end_is_unknown_is_reported_lost_and_not_run_again(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted) as run:
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.once")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await run.kill()
    scripted.adoption = Lost("nobody knows")
    async with running(settings_for(twin, home), scripted):
        await asyncio.wait_for(task.done.wait(), 5)
    assert len(scripted.jobs) == 1
    assert task.completions[0]["error"]["type"] == "agent.lost"


async def test_a_task_that_had_not_begun_is_given_back_after_a_kill(twin: Twin, home: Path) -> None:
    twin.streams = False
    twin.refuse["ack"] = (503, "busy")
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted) as run:
        task = await twin.submit(credentials={"registry.password": "hunter22"})
        await twin.until(lambda: "ack" in twin.requests)
        await run.kill()
    assert scripted.jobs == []
    twin.refuse.clear()
    async with running(settings_for(twin, home), scripted):
        await asyncio.wait_for(task.done.wait(), 5)
    assert "release" in twin.requests
    assert task.attempt == 2
    assert scripted.jobs[0].credentials == {"registry.password": "hunter22"}


async def test_a_task_that_had_done_nothing_is_given_back_for_its_credentials_after_a_kill(
    twin: Twin, home: Path
) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted) as run:
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait", credentials={"registry.password": "hunter22"})
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await run.kill()
    scripted.release.set()
    async with running(settings_for(twin, home), scripted):
        # The twin hands it out again before it answers the release.
        await asyncio.wait_for(task.done.wait(), 5)
    assert [job.credentials for job in scripted.jobs] == [{"registry.password": "hunter22"}] * 2
    assert (task.attempt, task.accepted) == (2, 2)
    assert task.completions[0]["success"] is True


async def test_a_lease_that_went_to_somebody_else_is_not_begun(twin: Twin, home: Path) -> None:
    twin.refuse["ack"] = (409, "task.lease_lost")
    twin.streams = False
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted):
        await twin.submit()
        await twin.until(lambda: "ack" in twin.requests)
        beats = len(twin.heartbeats)
        await twin.until(lambda: len(twin.heartbeats) > beats + 2)
    assert scripted.jobs == []


async def test_a_cancelled_task_stops_and_says_so(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted):
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await twin.cancel(task)
        await asyncio.wait_for(task.done.wait(), 5)
    assert task.completions[0]["cancelled"] is True


@pytest.mark.parametrize("streams", [True, False])
async def test_a_task_that_was_cancelled_before_its_acceptance_is_confirmed(
    twin: Twin, home: Path, monkeypatch: pytest.MonkeyPatch, *, streams: bool
) -> None:
    monkeypatch.setattr("stellwerk.agent.uplink.STREAM_ANSWER_S", 0.2)
    twin.streams = streams
    twin.mute = {"task_started"}
    twin.refuse["ack"] = (410, "task.cancelled")
    scripted = Scripted()
    async with running(settings_for(twin, home), scripted):
        await twin.until(lambda: bool(twin.sockets) is streams and twin.heartbeats)
        task = await twin.submit()
        await asyncio.wait_for(task.done.wait(), 8)
    assert scripted.jobs == []
    assert task.completions[0]["cancelled"] is True


async def test_a_task_that_is_not_in_hand_is_said_to_have_stopped(twin: Twin, home: Path) -> None:
    async with running(settings_for(twin, home)):
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.run")
        await asyncio.wait_for(task.done.wait(), 5)
        beats = len(twin.heartbeats)
        await twin.until(lambda: len(twin.heartbeats) > beats and not twin.heartbeats[-1]["tasks"])
        task.completions.clear()
        await twin.cancel(task)
        await twin.until(lambda: task.completions)
    assert task.completions[0]["cancelled"] is True


async def test_a_task_that_waits_for_a_place_can_be_cancelled(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home, max_tasks=1), scripted):
        await twin.until(lambda: twin.sockets)
        first = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        second = await twin.submit("test.wait")
        await twin.cancel(second)
        await asyncio.wait_for(second.done.wait(), 5)
        scripted.release.set()
        await asyncio.wait_for(first.done.wait(), 5)
    assert len(scripted.jobs) == 1
    assert second.accepted == 0


async def test_secrets_leave_neither_in_lines_nor_in_results(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    scripted.logs = ["login with hunter22 failed", "again: aHVudGVyMjI="]
    async with running(settings_for(twin, home), scripted):
        await twin.until(lambda: twin.sockets)
        task = await twin.submit(
            payload={"note": "it is hunter22"}, credentials={"registry.password": "hunter22"}
        )
        await asyncio.wait_for(task.done.wait(), 5)
    said = repr(twin.frames)
    assert "hunter22" not in said
    assert "aHVudGVyMjI" not in said
    assert task.completions[0]["result"]["echo"] == {"note": "it is ***"}


async def test_a_revoked_agent_stops_for_good(twin: Twin, home: Path) -> None:
    async with running(settings_for(twin, home)) as run:
        await twin.until(lambda: twin.sockets)
        agent_id = next(iter(twin.names))
        await twin.revoke(agent_id)
        with pytest.raises(Revoked):
            await asyncio.wait_for(run.task, 5)
    twin.requests.clear()
    async with running(settings_for(twin, home, token=None)) as run:
        with pytest.raises(Revoked):
            await asyncio.wait_for(run.task, 5)
    assert twin.requests == [], "it does not even ask"
    twin.tokens["reg_second"] = None
    async with running(settings_for(twin, home, token="reg_second")):
        await twin.until(lambda: len(twin.names) == 2)
        await twin.until(lambda: twin.sockets)


@pytest.mark.parametrize("code", ["agent.unknown", "agent.certificate.expired"])
async def test_an_identity_that_is_good_for_nothing_is_replaced_with_a_token(
    twin: Twin, home: Path, code: str
) -> None:
    token_file = home.parent / "token"
    async with running(settings_for(twin, home)) as run:
        await twin.until(lambda: twin.heartbeats)
        await run.kill()
    if code == "agent.unknown":
        twin.issued.clear()
    else:
        twin.offset_s = twin.life_s + 60
    twin.heartbeats.clear()
    async with running(settings_for(twin, home, token=None, token_file=token_file)):
        await twin.until(lambda: twin.requests.count("heartbeat") >= 3)
        assert twin.heartbeats == []
        twin.tokens["reg_second"] = None
        token_file.write_text("reg_second\n")
        await twin.until(lambda: twin.heartbeats)
    assert len(twin.names) == 2


async def test_a_used_token_ends_an_agent_without_identity(twin: Twin, home: Path) -> None:
    twin.tokens["reg_good"] = ("somebody", "else")
    async with running(settings_for(twin, home)) as run:
        with pytest.raises(CannotJoin, match=r"registration_token\.used"):
            await asyncio.wait_for(run.task, 5)


async def test_a_server_that_comes_back_finds_its_agents(twin: Twin, home: Path, tmp_path: Path) -> None:
    moving = Twin()
    scripted = Scripted()
    async with serving(moving, tmp_path):
        port = int(moving.url.rsplit(":", 1)[1])
        settings = settings_for(moving, home)
        agent = running(settings, scripted)
        run = await agent.__aenter__()
        await moving.until(lambda: moving.sockets)
        task = await moving.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
    scripted.release.set()
    await asyncio.sleep(0)
    async with serving(moving, tmp_path, port):
        await asyncio.wait_for(task.done.wait(), 10)
        await moving.until(lambda: moving.sockets)
        await run.stop()
    await agent.__aexit__(None, None, None)
    assert len(scripted.jobs) == 1


async def test_a_drain_finishes_what_runs_and_takes_nothing_new(twin: Twin, home: Path) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home, max_tasks=1), scripted) as run:
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        waiting = await twin.submit("test.wait")
        run.agent.stop()
        await twin.until(lambda: twin.heartbeats[-1]["status"] == "stopping")
        await twin.until(lambda: "release" in twin.requests)
        scripted.release.set()
        await asyncio.wait_for(run.task, 5)
    assert task.completions[0]["success"] is True
    assert waiting.completions == []
    assert twin.heartbeats[-1]["status"] == "stopped"


async def test_a_drain_that_takes_too_long_leaves_the_task_to_the_next_process(
    twin: Twin, home: Path
) -> None:
    scripted = Scripted()
    async with running(settings_for(twin, home, drain_s=0.1), scripted) as run:
        await twin.until(lambda: twin.sockets)
        task = await twin.submit("test.wait")
        await asyncio.wait_for(scripted.begun.wait(), 5)
        await run.stop()
    assert task.completions == []
    scripted.adoption = {"went": "on"}
    async with running(settings_for(twin, home), scripted):
        await asyncio.wait_for(task.done.wait(), 5)
    assert task.completions[0]["result"] == {"went": "on"}
