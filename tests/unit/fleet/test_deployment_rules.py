"""How deployment agents stand, and which process speaks for one."""

import pytest
from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS
from stellwerk.fleet.deployment.pacing import LOOKS_PER_S, interval_s
from stellwerk.fleet.deployment.record import DeploymentAgent, Reported, Status
from stellwerk.fleet.deployment.sessions import SessionConflict, Sessions
from stellwerk.fleet.deployment.standing import Expected, Observed, Standing, keeps_leases, stands
from stellwerk.fleet.model import AgentView, Condition, Presence

NOW, INTERVAL = 1_000_000 * MICROSECONDS, 30 * MICROSECONDS
AGENT = DeploymentAgent(
    agent_id="id",
    name="a",
    version="1",
    allowed_capabilities=("docker", "ssh"),
    labels={},
    token_id="t",
    registered_at=NOW,
    updated_at=NOW,
)
VIEW = AgentView(
    group="a",
    kind="deployment",
    joined_through="deployment",
    owner="agent:id",
    registered_at=NOW,
    instances=(),
    version="1",
    capabilities=(),
    services=(),
    tags=(),
    labels={},
    endpoints={},
    metadata={},
    condition=Condition.ACTIVE,
    presence=Presence.ONLINE,
    seen_at=NOW,
    load={},
    health_score=1.0,
    revision=1,
)
NOTHING = Observed()
EXPECTED = Expected(INTERVAL, 3 * INTERVAL)


@pytest.mark.parametrize(
    ("agent", "view", "observed", "standing", "reasons"),
    [
        (AGENT, VIEW, NOTHING, Standing.ONLINE, ()),
        (AGENT, None, NOTHING, Standing.OFFLINE, ("heartbeat.missing",)),
        (
            AGENT,
            replace(VIEW, presence=Presence.LATE, seen_at=NOW - 3 * INTERVAL),
            NOTHING,
            Standing.OFFLINE,
            ("heartbeat.missing",),
        ),
        (
            AGENT,
            replace(VIEW, presence=Presence.LATE, seen_at=NOW - 2 * INTERVAL),
            NOTHING,
            Standing.DEGRADED,
            ("heartbeat.late",),
        ),
        (
            AGENT,
            replace(VIEW, seen_at=NOW - 46 * MICROSECONDS),
            NOTHING,
            Standing.DEGRADED,
            ("heartbeat.late",),
        ),
        (AGENT, replace(VIEW, load={"disk_usage": 0.95}), NOTHING, Standing.DEGRADED, ("disk.full",)),
        (AGENT, VIEW, Observed(NOW + 60 * MICROSECONDS), Standing.DEGRADED, ("certificate.ending",)),
        (AGENT, VIEW, Observed(cloned_at=NOW), Standing.DEGRADED, ("certificate.clone_suspected",)),
        (AGENT, VIEW, Observed(conflicting=True), Standing.DEGRADED, ("session.conflict",)),
        (
            replace(AGENT, reported=Reported(status=Status.STOPPED)),
            VIEW,
            NOTHING,
            Standing.OFFLINE,
            ("agent.stopped",),
        ),
        (
            replace(AGENT, reported=Reported(status=Status.DEGRADED, reasons=("engine",), clock_skew_s=-400)),
            VIEW,
            NOTHING,
            Standing.DEGRADED,
            ("engine", "agent.degraded", "clock.skew"),
        ),
    ],
)
def test_agent_stands_as_it_is_known(
    agent: DeploymentAgent,
    view: AgentView | None,
    observed: Observed,
    standing: Standing,
    reasons: tuple[str, ...],
) -> None:
    found = stands(agent, view, observed, NOW, EXPECTED)
    assert (found.standing, found.reasons) == (standing, reasons)


def test_agent_is_found_by_what_it_may_do_and_has() -> None:
    assert AGENT.capabilities == ("docker", "ssh")
    assert replace(AGENT, reported=Reported(capabilities=("ssh", "ecs"))).capabilities == ("ssh",)


@pytest.mark.parametrize(
    ("draining", "status", "condition"),
    [
        (False, Status.HEALTHY, Condition.ACTIVE),
        (False, Status.DEGRADED, Condition.ACTIVE),
        (False, Status.STOPPING, Condition.INACTIVE),
        (True, Status.HEALTHY, Condition.MAINTENANCE),
    ],
)
def test_what_the_fleet_is_told_follows_operator_and_agent(
    draining: bool, status: Status, condition: Condition
) -> None:
    assert replace(AGENT, draining=draining, reported=Reported(status=status)).condition is condition


def test_newest_session_speaks_and_the_replaced_one_is_refused_while_it_keeps_coming() -> None:
    sessions = Sessions(30.0)
    sessions.take("a", "old", NOW)
    sessions.take("a", "new", NOW)
    for beat in range(5):
        at = NOW + beat * INTERVAL
        with pytest.raises(SessionConflict):
            sessions.take("a", "old", at)
        sessions.take("a", "new", at)
        assert sessions.conflicting("a", at)
    assert not sessions.conflicting("a", NOW + 8 * INTERVAL)


def test_replaced_session_that_fell_silent_may_come_back_later() -> None:
    sessions = Sessions(30.0)
    sessions.take("a", "old", NOW)
    sessions.take("a", "new", NOW)
    sessions.take("a", "old", NOW + 4 * INTERVAL)
    with pytest.raises(SessionConflict):
        sessions.take("a", "new", NOW + 5 * INTERVAL)


@pytest.mark.parametrize(
    ("agents", "interval"), [(0, 30), (1_500, 30), (1_501, 35), (3_000, 60), (100_000, 2_000)]
)
def test_heartbeats_become_seldomer_when_there_are_many_agents(agents: int, interval: int) -> None:
    assert interval_s(agents, 30.0) == interval


def test_looks_for_tasks_are_bounded_as_well() -> None:
    assert [interval_s(agents, 5.0, LOOKS_PER_S) for agents in (1_000, 4_000)] == [5, 20]


@pytest.mark.parametrize(
    ("silence_s", "kept"), [(10, False), (31, True), (120, True), (121, False), (1_000, False)]
)
def test_leases_of_a_silent_agent_are_renewed_until_they_end_with_the_grace(
    silence_s: int, kept: bool
) -> None:
    second = MICROSECONDS
    assert keeps_leases(silence_s * second, EXPECTED, 90 * second, 120 * second) is kept
