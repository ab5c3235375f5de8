"""Where the documents' blocks run: a server that knows what they speak of, and a folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.seeds import call
from bench.serving import Process, Server

from docs.blocks import PYTHON, ROOT, Block

AGENT = ROOT / "tests" / "support" / "node_process.py"
LIMIT_S = 60
ADDRESSES = ("127.0.0.1:8080", "localhost:8080", "localhost:9001", "localhost:8081")
"""Of the published examples; here the main listener answers for all of them."""

PRELUDE = """
set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body --max-time 50 "$@"; echo; }
"""
"""As a reader would see it: a refusal is a failure."""


class Stage:
    """One server over the guestbook in the sandbox, the agent `hello` in two versions, a token for its
    versions, and what blocks leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.server = Server(
            folder / "data",
            settings={
                "conductor.manifests": ROOT / "examples" / "guestbook" / "manifests",
                "conductor.cluster": "sandbox",
            },
        )
        self.background: list[Process] = []
        self.token = ""

    def start(self) -> "Stage":
        self.server.start(LIMIT_S)
        for version in ("1.0.0", "2.0.0"):
            self._start(f"hello-{version}", [sys.executable, str(AGENT), self.server.url, version])
        gives_up_at = time.monotonic() + LIMIT_S
        path = "/api/v1/traffic/reasoners/hello/versions"
        wanted = {"name": "docs", "capabilities": ["versions:read", "versions:write"], "agents": ["hello"]}
        self.token = str(call(self.server, "POST", "/api/v1/traffic/tokens", wanted)["token"])
        while not self._both(path):
            assert time.monotonic() < gives_up_at, [one.log_end() for one in self.background]
            time.sleep(0.05)
        return self

    def close(self) -> None:
        for process in self.background:
            process.kill()
        self.server.kill()

    def play(self, block: Block) -> None:
        """Do with a block what its reader would."""
        word, _, rest = block.mark.partition(" ")
        text = self._here(block.text)
        if word == "file":
            (self.work / rest).write_text(text)
            return
        if block.language in PYTHON:
            (self.work / "block.py").write_text(text)
            command = [sys.executable, "block.py"]
        else:
            command = ["bash", "-c", PRELUDE + text]
        if word == "background":
            self._start("background", command)
            return
        done = subprocess.run(
            command,
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{block}: {text}\n{done.stdout}\n{done.stderr}"

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        return {
            **os.environ,
            "PATH": os.pathsep.join(paths),
            "STELLWERK_SERVER": self.server.url,
            "TOKEN": self.token,
            "COLUMNS": "120",
        }

    def _here(self, text: str) -> str:
        for address in ADDRESSES:
            text = text.replace(address, self.server.url.removeprefix("http://"))
        return text

    def _start(self, name: str, command: list[str]) -> None:
        where = ["env", "--chdir", str(self.work), *command]
        self.background.append(Process(where, self.folder / f"{name}.log", environment=self.environment))

    def _both(self, path: str) -> bool:
        try:
            versions = call(self.server, "GET", path)["versions"]
        except OSError:
            return False
        return [one["health_status"] for one in versions] == ["active", "active"]
