"""`stellwerk render` and `stellwerk init`."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from stellwerk.cli.main import app
from stellwerk.release.application.reading import load
from support.application import config, write

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: '{{ global.word }}'}\n"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_starter_application_renders_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("init", "shop", "--service", "frontend", "--service", "redis")
    assert code == 0
    assert sorted(path.relative_to(tmp_path).as_posix() for path in Path("shop").resolve().rglob("*.*")) == [
        "shop/deploy/deploymentparameters.yaml",
        "shop/main.py",
        "shop/manifests/frontend/deployment.yaml",
        "shop/manifests/frontend/service.yaml",
        "shop/manifests/parameters.schema.json",
        "shop/manifests/parameters.yaml",
        "shop/manifests/redis/deployment.yaml",
        "shop/manifests/redis/service.yaml",
        "shop/manifests/requirements.yaml",
        "shop/manifests/stellwerk.yaml",
    ]
    assert "wrote shop/main.py" in out
    application = load(Path("shop/manifests"))
    assert (application.name, application.faults) == ("shop", ())
    compile(Path("shop/main.py").read_text(), "main.py", "exec")
    monkeypatch.chdir(tmp_path / "shop")
    code, out, err = run("render")
    assert (code, err) == (0, "")
    kinds = [(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(out)]
    assert kinds == [
        ("Deployment", "frontend"),
        ("Service", "frontend"),
        ("Deployment", "redis"),
        ("Service", "redis"),
    ]


@pytest.mark.parametrize("arguments", [["Shop"], ["shop", "--service", "a b"], ["shop", "--folder", "full"]])
def test_nothing_is_written_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"full/mine.txt": "x"})
    code, _, err = run("init", *arguments)
    assert code == 1
    assert err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "mine.txt"]


def test_what_was_rendered_is_written_and_faults_end_with_one(tmp_path: Path) -> None:
    write(tmp_path, {"web/a.yaml": config("a"), "db/a.yaml": "{{ global.no }}"})
    code, out, err = run("render", "--manifests", str(tmp_path))
    assert code == 1
    assert [one["metadata"] for one in yaml.safe_load_all(out)] == [{"name": "a", "namespace": "default"}]
    assert err.startswith("db/a.yaml:1: global.no is not set")
    assert run("render", "web", "--manifests", str(tmp_path))[0] == 0


def test_values_of_secrets_are_written_only_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"m/web/a.yaml": SECRET, "p.json": '{"global": {"word": "hush"}}'})
    arguments = ["render", "--manifests", str(tmp_path / "m"), "--parameters", str(tmp_path / "p.json")]
    code, out, _ = run(*arguments)
    assert (code, "hush" in out, "password" in out) == (0, False, True)
    assert "hush" in run(*arguments, "--show-secrets")[1]


@pytest.mark.parametrize(
    ("parameters", "part"),
    [("{", "not valid YAML"), ('{"global": {"replicas": "x"}}', "global.replicas"), ("[]", "not an object")],
)
def test_wrong_parameters_are_told_and_nothing_is_rendered(
    tmp_path: Path, parameters: str, part: str
) -> None:
    write(tmp_path, {"m/web/a.yaml": config("a"), "p.json": parameters})
    code, out, err = run(
        "render", "--manifests", str(tmp_path / "m"), "--parameters", str(tmp_path / "p.json")
    )
    assert (code, out) == (1, "")
    assert part in err


def test_unknown_service_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path, {"web/a.yaml": config("a")})
    code, out, err = run("render", "weeb", "--manifests", str(tmp_path))
    assert (code, out, "did you mean web?" in err) == (1, "", True)
