"""Parameters are checked whole: every fault at once, each with its path."""

from pathlib import Path
from typing import Any

import pytest

from stellwerk.agent.executors import available, refusal
from stellwerk.agent.executors.settings import ExecutorSettings

DIGEST = "sha256:" + "a" * 64
SSH = {"host": "h", "user": "u", "hostFingerprint": "SHA256:" + "A" * 43}


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """Check parameters as the agent does."""
    executors = available(ExecutorSettings(data_dir=tmp_path, bind_roots=(Path("/srv"),)))
    return lambda task_type, payload: executors[task_type].check(task_type, payload)


def test_every_task_type_has_one_executor_and_the_capability_it_is_announced_by(tmp_path: Path) -> None:
    executors = available(ExecutorSettings(data_dir=tmp_path))
    assert {task_type: one.capability for task_type, one in executors.items()} == {
        "docker.pull": "docker",
        "docker.run": "docker",
        "docker.stop": "docker",
        "docker.remove": "docker",
        "docker.restart": "docker",
        "inspect": "docker",
        "compose.up": "compose",
        "compose.down": "compose",
        "health.check": "health",
        "sticker.write": "sticker",
        "sticker.read": "sticker",
        "ssh.exec": "ssh",
        "sftp.put": "ssh",
    }


@pytest.mark.parametrize("task_type", ["winrm.exec", "ecs.deploy", "nomad.deploy"])
def test_what_is_not_built_is_refused_in_plain_words(task_type: str, tmp_path: Path) -> None:
    assert task_type not in available(ExecutorSettings(data_dir=tmp_path))
    assert "this agent does not" in refusal(task_type)


def test_an_unknown_task_type_is_named() -> None:
    assert refusal("coffee.brew") == "this agent has no executor for 'coffee.brew'"


def test_all_faults_are_told_at_once(check: Any) -> None:
    payload = {
        "image": "shop/web:1",
        "name": "-",
        "ports": ["80:80", "http"],
        "volumes": ["/etc:/etc", "data:/data"],
        "labels": {"stellwerk.task": "mine"},
        "limits": {"memoryBytes": "much"},
        "healthcheck": {"tcp": {"port": 0}, "retries": 0},
        "replcae": True,
    }
    assert check("docker.run", payload) == [
        "replcae: unknown parameter, did you mean 'replace'?",
        "name: expected str matching regex '^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}\\\\Z'",
        "limits.memoryBytes: expected int | null, got str",
        "healthcheck.retries: expected int >= 1",
        "healthcheck.tcp.port: expected int >= 1",
        "digest: required, because a tag may mean another image tomorrow (or say allowTags: true)",
        "ports: 'http' is not a port: expected [address:][published:]port[/tcp|udp]",
        "labels.stellwerk.task: names that begin with 'stellwerk.' are the agent's",
        "volumes: '/etc:/etc': this agent may not mount /etc",
    ]


@pytest.mark.parametrize(
    ("task_type", "payload"),
    [
        ("docker.pull", {"image": "myapp", "tag": "v2.3.1", "digest": DIGEST}),
        ("docker.pull", {"image": "myapp:latest", "allowTags": True}),
        (
            "docker.run",
            {"image": f"r.example:5000/a/b@{DIGEST}", "name": "web", "ports": ["8080:80", "53/udp"]},
        ),
        ("docker.run", {"image": f"a@{DIGEST}", "name": "web", "volumes": ["/srv/a:/a:ro", "data:/data"]}),
        ("docker.stop", {"name": "web"}),
        ("docker.stop", {"id": "0123456789ab", "timeout": 0}),
        ("docker.remove", {"name": "web", "force": True}),
        ("inspect", {"name": "web", "expected": {"digest": DIGEST, "ports": ["8080:80"]}}),
        ("health.check", {"http": {"url": "http://127.0.0.1/"}}),
        ("health.check", {"exec": {"container": "web", "command": ["true"]}, "interval": 0.5}),
        ("sticker.write", {"path": "web.json", "content": {"release": "v1", "digest": DIGEST}}),
        ("sticker.read", {"path": "shop/web.json"}),
        ("ssh.exec", {**SSH, "command": "true"}),
        ("sftp.put", {**SSH, "path": "/etc/app.conf", "content": "x"}),
        ("compose.down", {"project": "shop"}),
    ],
)
def test_what_is_right_has_no_faults(check: Any, task_type: str, payload: dict[str, Any]) -> None:
    assert check(task_type, payload) == []


@pytest.mark.parametrize(
    ("task_type", "payload", "fault"),
    [
        ("docker.pull", {}, "image: required"),
        ("docker.pull", {"image": "myapp"}, "digest: required"),
        ("docker.pull", {"image": f"a@{DIGEST}", "digest": "sha256:" + "b" * 64}, "name different images"),
        ("docker.pull", {"image": "a", "digest": "sha256:abc"}, "is not a digest"),
        ("docker.pull", {"image": "a", "digest": DIGEST + "\n"}, "is not a digest"),
        ("docker.pull", {"image": "Upper/Case", "digest": DIGEST}, "is not the name of an image"),
        ("docker.pull", {"image": "a?x=1#", "digest": DIGEST}, "is not the name of an image"),
        ("docker.pull", {"image": 3, "digest": DIGEST}, "image: expected str, got int"),
        ("docker.run", {"image": f"a@{DIGEST}", "name": "a/../b"}, "name: expected"),
        (
            "docker.run",
            {"image": f"a@{DIGEST}", "name": "web", "volumes": ["/srv/../etc:/e"]},
            "is not a volume",
        ),
        ("docker.run", {"image": f"a@{DIGEST}", "name": "web", "privileged": True}, "unknown parameter"),
        ("docker.run", {"image": f"a@{DIGEST}", "name": "web", "env": {"A=B": "c"}}, "name of a variable"),
        ("docker.stop", {}, "name or id: give one of them"),
        ("docker.stop", {"name": "web", "id": "0123456789ab"}, "name or id: give one of them"),
        ("docker.stop", {"name": "../images"}, "name: expected"),
        ("health.check", {}, "give one of them, not 0"),
        ("health.check", {"container": "a", "tcp": {"port": 1}}, "give one of them, not 2"),
        ("health.check", {"exec": {"command": "true"}}, "exec.container: required"),
        ("health.check", {"http": {"url": "file:///etc/passwd"}}, "http.url: expected"),
        ("health.check", {"tcp": {"port": 1}, "interval": -1}, "interval: expected"),
        (
            "sticker.write",
            {"path": "/etc/passwd", "content": {"release": "1", "digest": DIGEST}},
            "not below",
        ),
        ("sticker.write", {"path": "a", "content": {"release": "1"}}, "content.digest: required"),
        ("sticker.read", {"path": "../outside"}, "not below"),
        ("sticker.read", {"path": "a\x00b"}, "path: expected"),
        ("ssh.exec", {"host": "h", "user": "u", "command": "true"}, "hostKey or hostFingerprint: required"),
        ("ssh.exec", {**SSH, "command": "true", "keyRef": "../id"}, "keyRef: expected"),
        ("ssh.exec", {**SSH, "command": "true", "host": "a b"}, "host: expected"),
        ("sftp.put", {**SSH, "path": "/a"}, "content or contentBase64: give one of them"),
        ("sftp.put", {**SSH, "path": "relative", "content": ""}, "path: expected"),
        ("sftp.put", {**SSH, "path": "/a", "contentBase64": "§"}, "contentBase64:"),
        ("sftp.put", {**SSH, "path": "/a", "content": "x", "sha256": "0" * 64}, "another hash"),
        ("sftp.put", {**SSH, "path": "/a", "content": "x" * 1024 * 1024}, "more than"),
        ("compose.down", {"project": "Shop!"}, "project: expected"),
    ],
)
def test_what_is_wrong_is_told(check: Any, task_type: str, payload: dict[str, Any], fault: str) -> None:
    found = check(task_type, payload)
    assert any(fault in one for one in found), found
