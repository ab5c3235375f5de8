"""The connector with real agents: the document's script as it stands, our command line, real restarts.

The agents have the published SDK; a shell starts their processes again when they end.
"""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bench.serving import Server
from typer.testing import CliRunner

from e2e.published.environment import NotInstalled, sdk_python
from e2e.published.nodes import SdkNode
from stellwerk.cli.main import app
from support.talking import Answer, talk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180, func_only=True)]

HERE = Path(__file__).parent
TOKEN = "t0ken of the pipeline"
AGENT = "my-agent"


class SupervisedNode(SdkNode):
    """An agent whose process is started again whenever it ends."""

    def command(self) -> list[str]:
        """Return the words that start it and its supervisor."""
        return ["/bin/bash", str(HERE / "supervise.sh"), *super().command()]


class Lab:
    """A server that is configured as documented, and two versions of an agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The script calls the server by this name.
        self.server = Server(folder / "data", settings={"server.names": "agentfield"}).start()
        self.nodes = [SupervisedNode(self.server, folder, version, AGENT) for version in ("1.0.0", "2.0.0")]
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait()

    def stop(self) -> None:
        for node in self.nodes:
            node.running.stop()
        self.server.stop()

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Call the connector as a pipeline would."""
        return talk(self.server.url, method, f"/connector{path}", body, {"Authorization": f"Bearer {TOKEN}"})

    def greet(self) -> Answer:
        return talk(self.server.url, "POST", f"/api/v1/execute/{AGENT}.greet", {"input": {"name": "ada"}})

    def split(self, calls: int) -> Counter[str]:
        """Call the agent, one after the other; count the versions that answered."""
        answers = [self.greet() for _ in range(calls)]
        assert {status for status, _, _ in answers} == {200}
        return Counter(headers["x-routed-version"] for _, _, headers in answers)

    def weigh(self, **weights: int) -> None:
        body = {"weights": {f"{name[1]}.0.0": weight for name, weight in weights.items()}}
        assert self.ask("PUT", f"/reasoners/{AGENT}/weights", body)[0] == 200

    def instances(self) -> dict[str, list[str]]:
        _, body, _ = self.ask("GET", f"/reasoners/{AGENT}/versions")
        return {one["version"]: one["instances"] for one in body["versions"]}

    def stellwerk(self, *words: str, key: str | None = TOKEN, code: int = 0) -> str:
        """Run our command line; return what it printed."""
        environment = {"STELLWERK_SERVER": self.server.url, "STELLWERK_API_KEY": key}
        done = CliRunner().invoke(app, words, env=environment)
        assert done.exit_code == code, done.output
        return done.output


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    try:
        sdk_python()
    except NotInstalled as reason:
        pytest.skip(f"the published SDK cannot be installed: {reason}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AGENTFIELD_CONNECTOR_TOKEN", TOKEN)
        made = Lab(tmp_path_factory.mktemp("connector"))
    yield made
    made.stop()


def test_the_documents_script_runs_unchanged_and_its_ten_percent_are_true(lab: Lab, tmp_path: Path) -> None:
    lab.weigh(v1=900)
    # The script names its server; curl is told where that is by its own configuration.
    (tmp_path / ".curlrc").write_text(f'connect-to = "agentfield:8080:127.0.0.1:{lab.server.port}"\n')
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CONNECTOR_TOKEN": TOKEN}
    done = subprocess.run(
        ["/bin/bash", str(HERE / "deploy-canary.sh"), "2.0.0"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=70,
    )
    assert done.stdout.startswith(f"Waiting for {AGENT} v2.0.0 to be healthy...\n")
    assert '"new_weight":100' in done.stdout
    assert done.stdout.endswith("Canary deployed at 10% traffic\n")
    assert lab.split(100) == {"1.0.0": 90, "2.0.0": 10}
    _, shown, _ = lab.ask("GET", f"/reasoners/{AGENT}/versions/2.0.0")
    assert (shown["share_percent"], shown["figures"]["calls"]) == (10.0, 10)


def test_the_command_line_needs_nothing_but_the_token(lab: Lab) -> None:
    moved = lab.stellwerk("weight", AGENT, "1.0.0=9000", "2.0.0=1000")
    assert "90 %" in moved and "10 %" in moved
    listed = lab.stellwerk("versions", AGENT).splitlines()
    assert sorted(line.split()[:5] for line in listed[1:]) == [
        ["1.0.0", "9000", "90", "%", "active"],
        ["2.0.0", "1000", "10", "%", "active"],
    ]
    assert "agent not found" in lab.stellwerk("versions", "nobody", code=1)
    assert "weight must be between 0 and 10000" in lab.stellwerk("weight", AGENT, "1.0.0=10001", code=1)
    assert lab.stellwerk("versions", AGENT, key=None) == lab.stellwerk("versions", AGENT)


def test_tokens_are_made_listed_and_revoked_on_the_command_line(lab: Lab) -> None:
    capabilities = ("--capability", "versions:read", "--capability", "versions:write")
    wanted = ("token", "create", "--connector", *capabilities, "--agent", AGENT, "--expires", "90d")
    token = lab.stellwerk(*wanted, key=None).split()[0]
    assert "2.0.0" in lab.stellwerk("versions", AGENT, key=token)
    assert "this token is not for agent other" in lab.stellwerk("versions", "other", key=token, code=1)
    assert "capability restart is not enabled" in lab.stellwerk("restart", AGENT, key=token, code=1)
    token_id = token.split("_")[1]
    listed = lab.stellwerk("token", "list", "--connector", key=None)
    assert token_id in listed and token not in listed
    lab.stellwerk("token", "revoke", token_id, "--connector", key=None)
    assert "401" in lab.stellwerk("versions", AGENT, key=token, code=1)
    assert "is no capability" in lab.stellwerk(
        "token", "create", "--connector", "--capability", "x", key=None, code=1
    )
    registration = lab.stellwerk("token", "create", "--agent", "--name", "machine-1", key=None)
    assert registration.startswith("reg_")


def test_a_restart_ends_the_process_and_brings_another_while_no_call_fails(lab: Lab) -> None:
    lab.weigh(v1=500, v2=500)
    assert "no_supervisor" in lab.stellwerk("restart", AGENT, "2.0.0", code=1)
    supervisor = {"supervisor": {"kind": "shell"}}
    assert lab.ask("PATCH", f"/reasoners/{AGENT}", supervisor)[0] == 200
    before, pids = lab.instances(), pids_of(lab)
    with ThreadPoolExecutor(1) as aside:
        restart = aside.submit(lab.stellwerk, "restart", AGENT, "2.0.0")
        counted: Counter[str] = Counter()
        while not restart.done():
            counted += lab.split(10)
    assert "restarted 2.0.0" in restart.result()
    after = lab.instances()
    assert after["1.0.0"] == before["1.0.0"]
    assert len(after["2.0.0"]) == 1 and after["2.0.0"] != before["2.0.0"]
    now = pids_of(lab)
    assert now["1.0.0"] == pids["1.0.0"] and now["2.0.0"] != pids["2.0.0"]
    assert not Path(f"/proc/{pids['2.0.0']}").exists()
    assert counted["1.0.0"] > 0
    assert lab.split(10) == {"1.0.0": 5, "2.0.0": 5}, "the weight outlives the process"


def test_a_restart_goes_on_though_the_server_is_killed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.weigh(v1=500, v2=500)
    before = lab.instances()
    status, begun, _ = lab.ask("POST", f"/reasoners/{AGENT}/versions/2.0.0/restart?force=true&wait_s=0")
    assert (status, begun["state"]) == (202, "requested")
    until = time.monotonic() + 60
    shown = begun
    while shown["instances"][0]["instance_id"] in lab.instances()["2.0.0"] and time.monotonic() < until - 50:
        time.sleep(0.05)
    monkeypatch.setenv("AGENTFIELD_CONNECTOR_TOKEN", TOKEN)
    lab.server.kill()
    lab.server.start()
    while shown["finished_at"] is None and time.monotonic() < until:
        time.sleep(0.1)
        _, shown, _ = lab.ask("GET", f"/reasoners/{AGENT}/restarts/{begun['restart_id']}")
    assert (shown["state"], shown["success"]) == ("restarted", True), shown
    assert lab.instances()["2.0.0"] == [shown["instances"][0]["replaced_by"]] != before["2.0.0"]
    for node in lab.nodes:
        node.wait()
    assert lab.split(10) == {"1.0.0": 5, "2.0.0": 5}


def test_the_last_one_that_takes_calls_is_not_restarted_unforced(lab: Lab) -> None:
    lab.weigh(v1=900, v2=0)
    assert lab.ask("PATCH", f"/reasoners/{AGENT}", {"supervisor": {"kind": "shell"}})[0] == 200
    before = pids_of(lab)
    assert "last_healthy_instance" in lab.stellwerk("restart", AGENT, "1.0.0", code=1)
    assert pids_of(lab) == before


def pids_of(lab: Lab) -> dict[str, int]:
    """Ask the versions which process they are."""
    found = {}
    for version in ("1.0.0", "2.0.0"):
        status, body, _ = talk(
            lab.server.url,
            "POST",
            f"/api/v1/execute/{AGENT}.greet",
            {"input": {"name": "ada"}},
            {"X-Version": version},
        )
        assert status == 200, body
        found[version] = int(body["result"]["pid"])
    return found
