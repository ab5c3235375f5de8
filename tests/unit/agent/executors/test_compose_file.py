"""Compose files: what is read, and what is refused rather than ignored."""

import pytest

from stellwerk.agent.executors.compose_file import Project, plan
from stellwerk.agent.executors.compose_yaml import Unreadable, Variables, load

DIGEST = "sha256:" + "a" * 64
IMAGE = f"r.example/shop/web@{DIGEST}"


def faults(text: str, **variables: str) -> list[str]:
    """Plan and answer what is wrong."""
    return plan("shop", text, Variables(variables), None)[1]


def planned(text: str, **variables: str) -> Project:
    """Plan what is right."""
    project, found = plan("shop", text, Variables(variables), None)
    assert project is not None, found
    return project


def service(lines: str) -> str:
    """A file with one service of these lines."""
    return f"services:\n  web:\n    image: {IMAGE}\n" + "".join(
        f"    {line}\n" for line in lines.splitlines()
    )


def test_a_whole_service_becomes_a_container() -> None:
    project = planned(
        service(
            "command: serve --port 80\n"
            "environment: [COLOUR=green, EMPTY=, FROM_OUTSIDE, ABSENT]\n"
            'ports: ["8080:80", 53]\n'
            'volumes: ["data:/data:ro"]\n'
            "restart: on-failure:3\n"
            "mem_limit: 64m\ncpus: '0.5'\npids_limit: 100\nstop_grace_period: 1m30s\n"
            "healthcheck: {test: curl -f localhost, interval: 10s, retries: 3, start_period: 5s}"
        )
        + "volumes: {data: }\n",
        FROM_OUTSIDE="yes",
    )
    one = project.services[0]
    assert one.spec.name == "shop-web-1"
    assert one.spec.command == ["serve", "--port", "80"]
    assert one.spec.env == {"COLOUR": "green", "EMPTY": "", "FROM_OUTSIDE": "yes"}
    assert [(port.host, port.published, port.port) for port in one.spec.ports] == [
        ("127.0.0.1", 8080, 80),
        ("127.0.0.1", 0, 53),
    ]
    assert one.spec.volumes == ["shop_data:/data:ro"]
    assert one.spec.limits.memory_bytes == 64 * 1024 * 1024 and one.spec.stop_grace_s == 90
    assert (one.gate.interval, one.gate.retries, one.gate.start_period) == (2.0, 15, 5.0)
    assert list(project.networks) == ["shop_default"] and list(project.volumes) == ["shop_data"]


def test_dependencies_come_first() -> None:
    text = f"""
services:
  web: {{image: '{IMAGE}', depends_on: {{store: {{condition: service_healthy}}}}}}
  store: {{image: '{IMAGE}', depends_on: [disk]}}
  disk: {{image: '{IMAGE}'}}
"""
    assert [one.name for one in planned(text).services] == ["disk", "store", "web"]


def test_the_hash_changes_with_the_description_only() -> None:
    same, again = planned(service("command: a")), planned(service("command: [a]"))
    other = planned(service("command: b"))
    assert same.services[0].config == again.services[0].config != other.services[0].config


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("services: {web: {image: 'shop/web:1'}}", "composeYaml.services.web: digest: required"),
        (service("privileged: true"), "services.web.privileged: unknown parameter"),
        (service("build: ."), "services.web.build: unknown parameter"),
        (service("deploy: {replicas: 2}"), "services.web.deploy: unknown parameter"),
        ("secrets: {}\n" + service(""), "secrets: unknown parameter"),
        (service("depends_on: [nobody]"), "there is no service 'nobody'"),
        (service("depends_on: [web]"), "depends_on leads in a circle"),
        (service("depends_on: {web: {condition: service_completed_successfully}}"), "invalid enum value"),
        (service("networks: [back]"), "'back' is not declared under networks"),
        (service("volumes: ['data:/data']"), "'data' is not declared under volumes"),
        (service("volumes: ['./here:/data']"), "is not a volume"),
        (service("ports: ['http']"), "is not a port"),
        (service("stop_grace_period: soon"), "is not a duration"),
        (service("mem_limit: lots"), "is not a size"),
        (service("healthcheck: {test: [curl]}"), "healthcheck: test: expected a line"),
        (service("network_mode: host\nnetworks: [default]"), "give one of them"),
        (service("labels: {stellwerk.task: x}"), "are the agent's"),
        (service("command: ${MISSING}"), "variable MISSING is not set"),
        (service("command: ${MISSING:?say which}"), "variable MISSING is not set: say which"),
        (service("command: a $ b"), "a dollar sign is written $$"),
        ("services: {}", "services: expected"),
        ("just words", "expected a mapping"),
        ("services: [", "not YAML"),
        ("services: !!python/object/apply:os.system [id]", "not YAML"),
        ("a: 1\na: 2", "the key 'a' stands twice"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, fault: str) -> None:
    assert any(fault in one for one in faults(text)), faults(text)


def test_all_faults_are_told_at_once() -> None:
    text = f"services:\n  a: {{image: 'x:1', privileged: true}}\n  b: {{image: '{IMAGE}', ports: [x]}}\n"
    assert len(faults(text)) == 3


def test_variables_are_filled_in_values_only() -> None:
    variables = Variables({"A": "1", "EMPTY": ""})
    text = "$A ${A} ${EMPTY:-x} ${EMPTY-x} ${NONE:-y} $$A"
    assert variables.fill({"$A": [text]}) == {"$A": ["1 1 x  y $A"]}
    assert variables.missing == {}


def test_aliases_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(Unreadable, match="more than 20000 nodes"):
        load("\n".join(lines))


def test_a_tree_that_contains_itself_is_refused() -> None:
    with pytest.raises(Unreadable):
        load("a: &a [*a]")


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(Unreadable):
        load("a: " + "[" * 50_000)
