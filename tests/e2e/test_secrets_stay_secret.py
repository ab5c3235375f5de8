"""No secret of a run is found in what the server writes or shows: log, journal, tables, metrics, errors."""

import base64
import json
import re
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.serving import SecureServer
from typer.testing import CliRunner

from stellwerk.cli.main import app
from support.machines import new_csr

VALUE = "correct-horse-battery-staple"
CONTENTS = "contents-of-a-task-that-nobody-logs"


class Talk:
    """Requests to one server; everything that it answers is kept, but what hands a secret out on purpose."""

    def __init__(self, server: SecureServer) -> None:
        self.server = server
        self.heard: list[str] = []

    def say(
        self,
        method: str,
        path: str,
        body: object = None,
        key: str = "",
        *,
        admission: str = "",
        handed_out: bool = False,
    ) -> str:
        asked = urllib.request.Request(self.server.url + path, method=method)
        asked.add_header("Content-Type", "application/json")
        if key:
            asked.add_header("Authorization", f"Bearer {key}")
        if admission:
            asked.add_header("X-Agent-Token", admission)
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(asked, data, timeout=30) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as refused:
            text = refused.read().decode()
        if not handed_out:
            self.heard.append(text)
        return text


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    server = SecureServer(tmp_path / "data", settings={"log.level": "debug", "journal.poll_s": 0.1})
    server.start(100)
    yield Talk(server)
    server.kill()


def secrets_of_a_run(talk: Talk) -> dict[str, str]:
    """Make secrets of every kind, and use them well and badly; return them by what they are."""

    def made(path: str, body: object, field: str) -> str:
        return str(json.loads(talk.say("POST", path, body, handed_out=True))[field])

    key = made("/keys", {"name": "k", "scopes": ["admin"]}, "key")
    connector = made("/api/v1/traffic/tokens", {"name": "t", "capabilities": ["versions:read"]}, "token")
    admitted = made("/api/v1/admin/agent-tokens", {"name": "machine"}, "token")
    spent = made("/api/v1/admin/agent-tokens", {"name": "other"}, "token")

    def join(name: str, token: str, **more: str) -> Any:
        body = {"name": name, "version": "1.0.0", "capabilities": ["docker"], **more}
        return json.loads(talk.say("POST", "/api/v1/agents/register", body, admission=token, handed_out=True))

    _, csr = new_csr()
    joined, given = join("other", spent, csr=csr), join("machine", admitted)
    for token in (spent, spent[:-4] + "0000"):
        talk.say("POST", "/api/v1/agents/register", {"name": "other", "version": "1.0.0"}, admission=token)
    talk.say("PUT", "/api/v1/admin/secrets/registry.password", {"value": VALUE})
    talk.say("PUT", "/api/v1/admin/secrets/bad%2Fname", {"value": VALUE})
    talk.say("PUT", "/api/v1/admin/secrets/registry.password", f'{{"value": "{VALUE}", '.encode())
    for one in (key, connector, key[:-4] + "0000", admitted):
        for path in ("/agents/count", "/tasks", "/connector/reasoners/x/versions", "/keys", "/nothing"):
            talk.say("GET", path, key=one)
            talk.say("GET", f"{path}?token=x", key=one)
    task = {"agent": "machine", "taskType": "docker.run", "payload": {"image": CONTENTS}}
    talk.say(
        "POST",
        "/api/v1/tasks",
        {**task, "credentials": {"registry": "secret:registry.password"}},
        handed_out=True,
    )
    talk.say("POST", "/tasks/submit", {"task_data": {"x": CONTENTS}, "priority": "wrong"})
    talk.say("POST", "/tasks/submit", f'{{"task_data": {{"x": "{CONTENTS}"}}, '.encode())
    found = {
        "API key": key,
        "connector token": connector,
        "registration token": admitted,
        "spent registration token": spent,
        "token of an agent": joined["token"],
        "named secret": VALUE,
    }
    # Without a CSR the key is made by the server, as the published examples have it.
    found["private key of an agent"] = "".join(given["certificate"]["key"].splitlines()[1:-1])[:60]
    return found


def spellings(value: str) -> list[str]:
    """Return how a value might be written, whole or the part of it that is secret."""
    part = re.split(r"[_.]", value)[-1]
    return [value, part, base64.b64encode(value.encode()).decode(), value.encode().hex()]


def dump_of(database: Path) -> str:
    """Return every table as text."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def test_no_secret_of_a_run_is_found_in_what_the_server_writes_and_shows(talk: Talk) -> None:
    values = secrets_of_a_run(talk)
    shown = [
        talk.say("GET", path)
        for path in ("/events?limit=1000", "/metrics", "/keys", "/openapi.json", "/ready")
    ]
    shown += [talk.say("GET", path) for path in ("/api/v1/admin/secrets", "/api/v1/agents", "/api/v1/tasks")]
    assert talk.server.stop() == 0
    places = {
        "log": talk.server.running.output.read_text(errors="replace"),
        "answers": "\n".join([*talk.heard, *shown]),
        "tables": dump_of(talk.server.data_dir / "stellwerk.db"),
    }
    found = [
        f"{what} in the {place}"
        for place, text in places.items()
        for what, value in values.items()
        if any(len(one) >= 16 and one in text for one in spellings(value))
    ]
    assert found == []
    # Contents are kept, and shown to who may read tasks, but no log and no event has them.
    assert CONTENTS in places["tables"]
    assert CONTENTS not in places["log"] + shown[0]
    helped = CliRunner().invoke(app, ["settings", "--set", f"connector.token={VALUE}"])
    assert helped.exit_code == 0
    assert VALUE not in helped.output
