"""The commands for deployment agents, against a real server and a real agent over TLS."""

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.site import Site

CONTENT = ("--set", "content.release=1.2.3", "--set", f"content.digest=sha256:{'0' * 64}")
STICKER = ("sticker.write", "--set", "path=app/release.json", *CONTENT)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site.start(tmp_path_factory.mktemp("site"))
    try:
        site.join("agent-prod-01")
        yield site
    finally:
        site.stop()


def shown(site: Site, task_id: str) -> Any:
    return site.read(f"/api/v1/tasks/{task_id}")


def test_token_is_shown_once_listed_and_revoked(site: Site) -> None:
    made = site.command(
        "token", "create", "--agent", "--name", "edge-7", "--capability", "docker", "--ttl", "15m"
    )
    token = made.out.strip()
    assert re.fullmatch(r"reg_[\w-]{49}", token)
    assert f"--token {token} --ca-sha256 " in made.err
    assert made.err.rstrip().endswith("--name edge-7 --capability docker")
    token_id = re.search(r"token (\w+) admits", made.err)
    assert token_id is not None
    row = next(line for line in site.good("token", "list").splitlines() if line.startswith(token_id[1]))
    assert row.split()[1:4] == ["edge-7", "docker", "until"]
    assert token not in site.good("token", "list")
    site.good("token", "revoke", token_id[1])
    assert "revoked" in site.good("token", "list")
    refused = site.run_agent("late", "--token", token, "--name", "edge-7", "--ca-sha256", ca(site))
    assert refused.popen.wait(20) == 78
    assert "registration_token.revoked" in refused.log_end()


def ca(site: Site) -> str:
    return next(
        line.split()[1] for line in site.good("ca", "show").splitlines() if line.startswith("servers")
    )


def test_agents_are_listed_and_shown(site: Site) -> None:
    heading, *rows = site.good("agents", "--status", "online").splitlines()
    assert heading.split() == ["AGENT", "STATUS", "CAPABILITIES", "LAST", "HEARD"]
    assert rows[0].split()[0] == "agent-prod-01"
    told = site.good("agent", "show", "agent-prod-01")
    assert "name: agent-prod-01" in told
    assert "connected: yes" in told
    assert "capabilities: compose" in told or "capabilities: health, ssh, sticker" in told
    assert "state=active" in told
    assert site.command("agents", "--capability", "winrm").err == "no such agent\n"
    assert site.command("agent", "show", "nobody").err.endswith("404 Agent not found\n")


def test_task_is_run_followed_shown_and_its_log_read(site: Site) -> None:
    run = site.command("task", "run", *STICKER, "--agent", "agent-prod-01", "--follow")
    assert run.status == 0, run
    assert json.loads(run.out)["content"]["release"] == "1.2.3"
    task_id = run.err.splitlines()[0]
    assert shown(site, task_id)["status"] == "succeeded"
    assert site.command("task", "logs", task_id).status == 0
    assert site.command("task", "cancel", task_id).status == 1


def test_failed_task_says_why_and_has_a_status(site: Site) -> None:
    wrong = site.command(
        "task", "run", "sticker.write", "--set", "pth=x", "--agent", "agent-prod-01", "--follow"
    )
    assert wrong.status == 1
    assert json.loads(wrong.out)["type"] == "parameters.invalid"
    unknown = site.command("task", "run", "winrm.exec", "--agent", "agent-prod-01", "--follow")
    assert "WinRM is a valid label of foreign agents" in unknown.out


@pytest.mark.parametrize(
    ("whom", "why"),
    [
        (("--capability", "nomad"), "no agent has nomad"),
        (("--selector", "role=none"), "no agent has role=none"),
    ],
)
def test_task_that_nobody_takes_says_so_and_does_not_hang(
    site: Site, whom: tuple[str, str], why: str
) -> None:
    run = site.command("task", "run", *STICKER, *whom, "--follow", "--wait", "1s")
    assert run.status == 1
    assert f"pending: {why}" in run.err
    task_id = run.err.splitlines()[0]
    assert f"stellwerk task cancel {task_id}" in run.err
    assert site.good("task", "cancel", task_id) == "cancelled\n"


def test_unknown_agent_is_refused_at_once(site: Site) -> None:
    refused = site.command("task", "run", *STICKER, "--agent", "nobody", "--follow")
    assert (refused.status, refused.err) == (1, "POST /api/v1/tasks: 404 Agent not found\n")


def test_interrupted_follower_leaves_the_task_as_it_is(site: Site) -> None:
    following = site.background("task", "run", *STICKER, "--capability", "nomad", "--follow")
    assert following.stdout is not None
    task_id = following.stdout.readline().strip()
    assert following.stdout.readline().startswith("pending: ")
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 130
    assert f"stellwerk task cancel {task_id}" in following.stdout.read()
    assert shown(site, task_id)["status"] == "pending"
    site.good("task", "cancel", task_id)


def test_drained_agent_takes_nothing_until_it_is_resumed(site: Site) -> None:
    assert site.good("agent", "drain", "agent-prod-01") == "agent-prod-01 drains; it has 0 tasks\n"
    try:
        run = site.command("task", "run", *STICKER, "--agent", "agent-prod-01", "--follow", "--wait", "1s")
        assert "agent-prod-01 drains and takes nothing new" in run.err
        task_id = run.err.splitlines()[0]
        assert shown(site, task_id)["status"] == "pending"
    finally:
        assert "takes tasks" in site.good("agent", "resume", "agent-prod-01")
    assert site.command("task", "logs", task_id, "--follow").status == 0


def test_secrets_are_set_listed_and_removed_and_never_shown(site: Site) -> None:
    said = site.good("secret", "set", "registry.password", value="s3cret-value\n")
    assert said == "registry.password is set (version 1); refer to it as secret:registry.password\n"
    assert "version 2" in site.good("secret", "set", "registry.password", value="other-value")
    listed = site.good("secret", "list")
    assert "registry.password" in listed
    assert "value" not in listed
    assert site.good("secret", "delete", "registry.password") == "removed registry.password\n"
    assert site.command("secret", "list").err == "there are no secrets\n"
    assert site.command("secret", "set", "no spaces", value="x").status == 1


def test_authorities_are_shown_exported_and_rotated_with_agents_connected(site: Site) -> None:
    assert "-----BEGIN CERTIFICATE-----" in site.good("ca", "export", "servers")
    assert len(site.good("ca", "show").splitlines()) == 2
    rotated = site.good("ca", "rotate", "agents").split()
    assert rotated[0] == "agents"
    assert rotated[1] in site.good("ca", "show")
    again = site.command("ca", "rotate", "agents")
    assert again.status == 1
    # Who joined before the rotation and who joins after it both work.
    site.join("after-rotation")
    for name in ("agent-prod-01", "after-rotation"):
        assert site.command("task", "run", *STICKER, "--agent", name, "--follow").status == 0


def test_agent_comes_back_without_its_token(site: Site) -> None:
    agent = site.join("comes-back")
    assert agent.stop() == 0
    site.until(lambda: site.state("comes-back") == "offline", "the farewell")
    run = site.command("task", "run", *STICKER, "--agent", "comes-back", "--follow", "--wait", "1s")
    assert "comes-back is offline" in run.err
    site.run_agent("comes-back", "--name", "comes-back")
    assert site.command("task", "logs", run.err.splitlines()[0], "--follow").status == 0


def test_revoked_agent_ends_at_once_and_for_good(site: Site) -> None:
    agent = site.join("to-revoke")
    began = time.monotonic()
    assert site.good("agent", "revoke", "to-revoke") == "removed to-revoke\n"
    assert agent.popen.wait(10) == 78
    assert time.monotonic() - began < 5
    assert "the server removed this agent" in agent.log_end()
    assert site.run_agent("to-revoke", "--name", "to-revoke").popen.wait(10) == 78
    assert site.state("to-revoke") == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--server", "http://127.0.0.1:1"), "the server is https://HOST:PORT of its TLS listener"),
        (("--capability", "winrm"), "WinRM is a valid label of foreign agents"),
        (("--capability", "docer"), "it knows compose, docker, health, ssh, sticker"),
        (("--ca-sha256", "12"), "a CA fingerprint is 64 hexadecimal digits"),
        (("--label", "nolabel"), "a label is KEY=VALUE"),
    ],
)
def test_wrong_options_of_the_agent_are_told_with_what_would_help(
    site: Site, options: tuple[str, ...], says: str
) -> None:
    said = site.command("agent", "run", "--server", site.tls, *options)
    assert said.status == 2
    assert says in " ".join(re.sub(r"[│╭╮╰╯─]", " ", said.err).split())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "there is no identity in"),
        (("--token", "reg_x", "--ca-sha256", "0" * 64), "no root of the server has a fingerprint"),
    ],
)
def test_agent_that_cannot_join_ends_with_what_would_help(
    site: Site, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    agent = site.run_agent(tmp_path.name, *options)
    assert agent.popen.wait(20) == 78
    assert says in agent.log_end()
