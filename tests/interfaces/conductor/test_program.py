"""A program of somebody's own around `Conductor`."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from stellwerk import Conductor
from stellwerk.app import CannotStart
from stellwerk.conductor import Caller, Operation, Request, Vetoed
from stellwerk.settings import SettingsError
from support.application import write

MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {text: "{{ 'loud' | shout }}"}
"""
FREE = {"server__port": 0, "server__compat_ports": False, "log__level": "warning"}


def conductor(tmp_path: Path, **settings: Any) -> Conductor:
    """A program with one service, on the sandbox."""
    manifests = write(tmp_path / "manifests", {"web/a.yaml": MANIFEST})
    given = {"app_name": "shop", "cluster": "sandbox", **FREE, "data_dir": str(tmp_path / "data"), **settings}
    made = Conductor(manifest_root=manifests, **given)

    @made.filter
    def shout(text: str) -> str:
        return f"{text.upper()}!"

    return made


async def call(made: Conductor, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(made.listeners["main"]) as session,
        session.request(method, path, json=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_own_filters_are_there_for_templates(tmp_path: Path) -> None:
    async with conductor(tmp_path) as made:
        status, answer = await call(made, "POST", "/api/up", {"services": ["web"]})
        assert (status, answer["operation"]["application"]) == (200, "shop")
        _, shown = await call(made, "GET", "/api/releases/1")
        assert shown["objects"][0]["manifest"]["data"] == {"text": "LOUD!"}
    assert made.listeners == {}


async def test_veto_refuses_before_anything_is_recorded(tmp_path: Path) -> None:
    made = conductor(tmp_path)
    asked: list[Request] = []

    @made.before("up")
    async def not_today(request: Request) -> None:
        asked.append(request)
        raise Vetoed("not today")

    async with made:
        assert await call(made, "POST", "/api/up") == (403, {"error": "vetoed", "message": "not today"})
        assert await call(made, "GET", "/api/operations") == (200, {"operations": []})
        assert (await call(made, "POST", "/api/update"))[0] == 200
    assert [(one.kind, one.services) for one in asked] == [("up", ("web",))]


async def test_end_of_an_operation_is_told_also_when_another_function_fails(tmp_path: Path) -> None:
    made = conductor(tmp_path)
    told: asyncio.Queue[Operation] = asyncio.Queue()

    @made.after()
    async def broken(operation: Operation) -> None:
        raise RuntimeError(operation.id)

    @made.after("up", "down")
    async def tell(operation: Operation) -> None:
        await told.put(operation)

    async with made, asyncio.timeout(10):
        await call(made, "POST", "/api/up")
        await call(made, "POST", "/api/update")
        await call(made, "POST", "/api/down", {"all": True})
        ended = [await told.get(), await told.get()]
    assert [(one.kind, one.state) for one in ended] == [("up", "succeeded"), ("down", "succeeded")]


async def test_own_routes_answer_under_the_same_checks(tmp_path: Path) -> None:
    made = conductor(tmp_path)

    @made.route("GET", "/shop/owner/{service}")
    async def owner(caller: Caller) -> dict[str, str]:
        return {"service": caller.path["service"], "by": caller.principal}

    @made.route("POST", "/api/echo")
    async def echo(caller: Caller) -> Any:
        return caller.body

    async with made:
        assert await call(made, "GET", "/shop/owner/web") == (200, {"service": "web", "by": "local"})
        assert await call(made, "POST", "/api/echo", [1]) == (200, [1])
        status, answer = await call(made, "DELETE", "/shop/owner/web")
        assert (status, answer["error"]) == (405, "method_not_allowed")
        assert (await call(made, "GET", "/shop"))[0] == 404
        _, described = await call(made, "GET", "/openapi.json")
        assert "/shop/owner/{service}" in described["paths"]


@pytest.mark.parametrize("path", ["/api/up", "/api/operations/{one}", "/tasks/submit", "api/x"])
async def test_route_that_is_taken_keeps_the_server_from_starting(tmp_path: Path, path: str) -> None:
    made = conductor(tmp_path)

    @made.route("POST" if path == "/api/up" else "GET", path)
    async def mine(caller: Caller) -> None: ...

    with pytest.raises(CannotStart, match="route"):
        await made.start()


def test_everything_that_is_wrong_with_the_settings_is_told(tmp_path: Path) -> None:
    made = conductor(tmp_path, cluster="moon", server__prt=1)
    with pytest.raises(SettingsError) as refused:
        made.settings()
    told = [str(fault) for fault in refused.value.faults]
    assert len(told) == 2
    assert all("Conductor(" in one for one in told)


def test_what_is_given_wins_over_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.yaml").write_text("conductor: {application: other, wait_s: 5}\n")
    monkeypatch.setenv("STELLWERK_CONDUCTOR_APPLICATION", "third")
    settings = conductor(tmp_path, config=tmp_path / "settings.yaml").settings()
    assert (settings.conductor.application, settings.conductor.wait_s) == ("shop", 5)


def test_manifests_lie_beside_the_program_where_they_are_not_here(tmp_path: Path) -> None:
    write(tmp_path / "app", {"manifests/web/a.yaml": MANIFEST, "main.py": PROGRAM})
    run = subprocess.run(
        [sys.executable, str(tmp_path / "app" / "main.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [str(tmp_path / "app" / "manifests")]


PROGRAM = """\
from stellwerk import Conductor

if __name__ == "__main__":
    print(Conductor("shop").settings().conductor.manifests)
"""


def test_importing_the_package_loads_nothing_of_the_server() -> None:
    program = "import sys, stellwerk; print([one for one in sys.modules if one.startswith('stellwerk.')])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_program_in_the_documentation_is_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deploying.md").read_text()
    names: dict[str, Any] = {"__name__": "program"}
    exec(text.split("```python\n")[1].split("```")[0], names)
    program = names["conductor"]
    assert isinstance(program, Conductor)
    assert names["registry"]("a") == "registry.example/a"
