"""What is restarted, what is refused, and when something has come back."""

from typing import Any

import pytest
from msgspec.structs import replace

from stellwerk.fleet.model import BASE_URL, AgentView, Condition, InstanceView, Presence, VersionView
from stellwerk.traffic.restart import (
    Container,
    Restart,
    RestartRefused,
    RestartState,
    asked,
    check_spare,
    container_of,
    look,
    plan_restart,
    starts,
    supervisor_of,
)
from support.fleet import agent_view, instance_view

MACHINE = Container("machine-1", "hello")


def none(version: str) -> None:
    """Find no container: the process is asked itself."""


def machine(version: str) -> Container:
    return MACHINE


LIMIT = 100


def process(name: str, version: str = "1.0.0", at: int = 1, **fields: Any) -> InstanceView:
    endpoints = {BASE_URL: f"http://127.0.0.1/{name}"}
    return instance_view(name, version=version, registered_at=at, **{"endpoints": endpoints, **fields})


def agent(*instances: InstanceView, **weights: int | None) -> AgentView:
    versions = tuple(VersionView(name.replace("_", "."), weight, 1) for name, weight in weights.items())
    return replace(agent_view("hello", *instances), versions=versions)


def restart_of(view: AgentView, version: str | None = "1.0.0", now_us: int = 10) -> Restart:
    return Restart(
        restart_id="r",
        group="hello",
        version=version,
        state=RestartState.REQUESTED,
        detail=None,
        steps=plan_restart(view, version, none),
        known=tuple(one.instance for one in view.instances),
        requested_by="key:1",
        requested_at=now_us,
        deadline_at=now_us + LIMIT,
    )


OLD, OTHER = process("old"), process("other", "2.0.0", at=2)


def test_a_version_is_restarted_and_no_other() -> None:
    view = agent(OLD, OTHER)
    assert [step.instance for step in plan_restart(view, "1.0.0", none)] == ["old"]
    assert [step.instance for step in plan_restart(view, None, none)] == ["old", "other"]


def test_silent_instances_are_left_out_unless_their_container_can_be_restarted() -> None:
    silent = process("silent", presence=Presence.OFFLINE)
    assert [step.instance for step in plan_restart(agent(OLD, silent), "1.0.0", none)] == ["old"]
    with pytest.raises(RestartRefused) as refused:
        plan_restart(agent(silent), "1.0.0", none)
    assert refused.value.why == "no_instance"
    assert [step.instance for step in plan_restart(agent(silent), "1.0.0", machine)] == ["silent"]


def test_what_has_no_address_cannot_be_asked_but_its_container_can_be_restarted() -> None:
    mute = process("mute", endpoints={})
    with pytest.raises(RestartRefused) as refused:
        plan_restart(agent(mute), "1.0.0", none)
    assert refused.value.why == "no_address"
    assert plan_restart(agent(mute), "1.0.0", machine)[0].url is None


@pytest.mark.parametrize(
    ("view", "allowed"),
    [
        (agent(OLD, OTHER, **{"1_0_0": 900, "2_0_0": 100}), True),
        (agent(OLD, OTHER, **{"1_0_0": 900, "2_0_0": None}), True),
        (agent(OLD, OTHER, **{"1_0_0": 900, "2_0_0": 0}), False),
        (agent(OLD, **{"1_0_0": 900}), False),
        (agent(OLD, process("twin"), **{"1_0_0": 900}), True),
        (agent(OLD, process("late", presence=Presence.LATE), **{"1_0_0": 900}), False),
        (agent(OLD, process("new", condition=Condition.INACTIVE), **{"1_0_0": 900}), False),
        (agent(OLD, OTHER, **{"1_0_0": 0, "2_0_0": 900}), True),
        (agent(process("old", condition=Condition.ERROR), **{"1_0_0": 900}), True),
    ],
    ids=["beside another", "beside an unset one", "beside one that is off", "alone", "with a twin",
         "twin is late", "twin starts", "off itself", "broken itself"],
)  # fmt: skip
def test_the_last_one_that_takes_calls_is_spared(view: AgentView, allowed: bool) -> None:
    steps = plan_restart(view, "1.0.0", none)
    if allowed:
        check_spare(view, steps)
        return
    with pytest.raises(RestartRefused) as refused:
        check_spare(view, steps)
    assert refused.value.why == "last_healthy_instance"


def test_a_supervisor_is_declared_by_options_then_by_the_agent_then_by_the_settings() -> None:
    plain = agent(OLD)
    own = agent(process("x", metadata={"custom": {"supervisor": "systemd"}}))
    machine = {"agent": "machine-1", "container": "hello"}
    assert supervisor_of(plain, None, ()) is None
    assert supervisor_of(plain, {}, ["other"]) is None
    assert supervisor_of(plain, None, ["hello"]) == supervisor_of(plain, None, ["*"]) == {"kind": "settings"}
    assert supervisor_of(own, None, ["*"]) == {"kind": "systemd"}
    assert supervisor_of(own, machine, ["*"]) == machine
    assert container_of(machine, "1.0.0") == MACHINE
    for other in ({"kind": "systemd"}, None, {"agent": 1}, {"agent": "machine-1", "containers": ["hello"]}):
        assert container_of(other, "1.0.0") is None
    for wrong in (1, [], None, "", {}):
        assert (
            supervisor_of(agent(process("x", metadata={"custom": {"supervisor": wrong}})), None, ()) is None
        )


def test_each_version_may_have_a_container_of_its_own() -> None:
    named: dict[str, object] = {"agent": "machine-1", "containers": {"1.0.0": "hello-1", "2.0.0": "hello-2"}}
    assert container_of(named, "2.0.0") == Container("machine-1", "hello-2")
    assert (starts(named, "2.0.0"), starts(named, "3.0.0"), container_of(named, "3.0.0")) == (
        True,
        False,
        None,
    )
    assert container_of({**named, "container": "rest"}, "3.0.0") == Container("machine-1", "rest")
    assert (starts({"kind": "systemd"}, "1.0.0"), starts(None, "1.0.0")) == (True, False)


def test_an_instance_has_come_back_when_another_of_its_version_is_ready() -> None:
    before = agent(OLD, OTHER)
    restart = asked(restart_of(before), 20, LIMIT)
    starting = process("new", at=30, condition=Condition.INACTIVE)
    for still in (before, agent(OTHER), agent(OTHER, starting), agent(OTHER, process("x", "3.0.0")), None):
        assert look(restart, still, 40) == restart
    done = look(restart, agent(OTHER, process("new", at=30)), 50)
    assert (done.state, done.finished_at, done.steps[0].replaced_by) == (RestartState.RESTARTED, 50, "new")
    assert look(done, None, 10_000) is done


def test_nothing_counts_as_back_that_was_not_asked_to_go() -> None:
    restart = restart_of(agent(OLD))
    assert look(restart, agent(OLD, process("second", at=30)), 40) == restart


def test_instances_go_one_after_the_other_and_each_comes_back_as_another() -> None:
    restart = asked(restart_of(agent(OLD, process("twin", at=2))), 20, LIMIT)
    first = look(restart, agent(process("twin", at=2), process("new", at=30)), 30)
    assert (first.state, first.current and first.current.instance) == (RestartState.REQUESTED, "twin")
    second = asked(first, 40, LIMIT)
    assert second.deadline_at == 140
    assert look(second, agent(process("new", at=30)), 50) == second
    done = look(second, agent(process("new", at=30), process("newer", at=50)), 60)
    assert [step.replaced_by for step in done.steps] == ["new", "newer"]
    assert done.state is RestartState.RESTARTED


def test_who_does_not_come_back_in_time_is_told() -> None:
    restart = asked(restart_of(agent(OLD)), 20, LIMIT)
    assert look(restart, agent(OLD), 119) == restart
    late = look(restart, agent(OLD), 120)
    assert (late.state, late.finished_at) == (RestartState.TIMED_OUT, 120)
    assert "instance old" in (late.detail or "")
    assert look(restart_of(agent(OLD)), agent(OLD), 110).state is RestartState.TIMED_OUT
