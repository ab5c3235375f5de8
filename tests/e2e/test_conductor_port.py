"""The document's requests as they are printed: by curl, on port 8081 of a server that was told no port.

In a network of its own, so that the published ports are free whatever else runs here.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.conductor_document import DOCUMENT, GUESTBOOK

STELLWERK = Path(sys.executable).parent / "stellwerk"
TITLES = (
    "Check conductor health",
    "Deploy services",
    "Update parameters",
    "Redeploy to apply changes",
    "Monitor events",
)
SCRIPT = """
set -eu
ip link set lo up
{stellwerk} serve --cluster sandbox --manifests {manifests} --data-dir {data} --ready-file {ready} &>{log} &
server=$!
trap 'kill $server; wait $server' EXIT
until [ -s {ready} ]; do kill -0 $server; sleep 0.05; done
curl() {{ command curl -sS -w '\\n%{{http_code}}\\n---\\n' "$@"; }}
{commands}
"""


def own_network() -> list[str]:
    """Words before a command that give it a network of its own."""
    words = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or shutil.which("ip") is None or shutil.which("curl") is None:
        pytest.skip("needs unshare, ip and curl")
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network of one's own may be made here")
    return words


def command_of(title: str) -> str:
    section = next(one for one in DOCUMENT.read_text().split("\n### ") if one.startswith(f"{title}\n"))
    found = re.search(r"```bash\n(.+?)\n```", section, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_documents_commands_work_as_printed_on_port_8081(tmp_path: Path) -> None:
    within = own_network()
    manifests = tmp_path / "manifests"
    shutil.copytree(GUESTBOOK / "manifests", manifests)
    shutil.copy(GUESTBOOK / "parameters-busybox.yaml", manifests / "parameters.yaml")
    places = {name: shlex.quote(str(tmp_path / name)) for name in ("data", "ready", "log", "manifests")}
    script = SCRIPT.format(stellwerk=STELLWERK, commands="\n".join(map(command_of, TITLES)), **places)
    done = subprocess.run(
        [*within, "bash", "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    answers = [one.strip().rpartition("\n") for one in done.stdout.split("\n---\n")[:-1]]
    assert [status for *_, status in answers] == ["200"] * len(TITLES), done.stdout
    health, up, stored, updated, events = (json.loads(body) for body, *_ in answers)
    assert health["status"] == "healthy"
    assert up["message"] == "Successfully deployed all manifests"
    assert stored["message"] == "Parameters updated successfully"
    assert updated["operation"]["state"] == "succeeded"
    assert len(events) == 10
