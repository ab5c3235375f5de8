"""The commands that deploy, against a real server with the sandbox."""

import itertools
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench.serving import Server

from support.site import Said, Site

GUESTBOOK = Path(__file__).parents[2] / "examples" / "guestbook"
NOWHERE = "registry.invalid/frontend"
NAMES = itertools.count(1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with the guestbook, for all tests."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(GUESTBOOK / "manifests", folder / "guestbook")
    site = Site.start(folder, conductor__manifests=folder / "guestbook", conductor__cluster="sandbox")
    yield site
    site.stop()


@pytest.fixture
def prefix(served: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the names of the objects begin with in an instance of the test's own."""
    name = f"t{next(NAMES)}"
    served.good("parameters", "create", name)
    monkeypatch.setenv("STELLWERK_INSTANCE", name)
    served.good("parameters", "patch", f'global.namePrefix="{name}-"')
    return f"{name}-"


@pytest.fixture
def site(served: Site, prefix: str) -> Site:
    """The server, with commands that are about the test's instance, of which nothing is deployed."""
    return served


def summary(site: Site, *words: str) -> Any:
    return json.loads(site.command("plan", "--json", *words).out)["summary"]


def broken(tmp_path: Path) -> str:
    """A file of parameters with which the frontend cannot run."""
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({"services": {"frontend": {"image": NOWHERE}}}))
    return str(path)


def test_plan_shows_objects_then_fields_and_changes_nothing(site: Site, prefix: str, tmp_path: Path) -> None:
    planned = site.command("plan", "frontend", "--exit-code")
    assert planned.status == 2
    assert planned.out.splitlines() == [
        f"+ default/Deployment/{prefix}frontend  create",
        f"+ default/Service/{prefix}frontend  create",
        "Plan: 2 to create.",
    ]
    assert summary(site, "frontend") == {"create": 2}
    site.good("up", "frontend")
    site.good("parameters", "patch", "services.frontend.replicas=5")
    assert "    ~ spec.replicas: 1 → 5" in site.good("plan", "frontend").splitlines()
    assert site.command("plan", "frontend", "--exit-code").status == 2
    assert f"= default/Service/{prefix}frontend  unchanged" in site.good("plan", "frontend", "--all")
    site.good("update", "frontend")
    assert site.command("plan", "frontend", "--exit-code") == Said(0, "Plan: 2 unchanged.\n", "")


def test_up_follows_every_object_to_its_health_and_touches_nothing_else(site: Site, prefix: str) -> None:
    lines = site.good("up", "redis", "--note", "first").splitlines()
    for name in ("redis-master", "redis-slave"):
        assert any(line.endswith(f"healthy   default/Deployment/{prefix}{name}") for line in lines)
    assert lines[-1].startswith("up succeeded: 4 of 4 objects, release 1 (op_")
    assert summary(site) == {"create": 6, "unchanged": 4}
    (release,) = json.loads(site.good("history", "--json"))["releases"]
    assert (release["revision"], release["note"]) == (1, "first")


def test_failure_is_told_with_the_reason_of_the_pod_and_rolled_back(
    site: Site, prefix: str, tmp_path: Path
) -> None:
    site.good("up", "frontend")
    site.good("parameters", "patch", "--file", broken(tmp_path), "--why", "a test")
    failed = site.command("update", "frontend")
    assert failed.status == 1
    assert f"failed    default/Deployment/{prefix}frontend  ImagePullBackOff" in failed.out
    assert f"default/Deployment/{prefix}frontend: ImagePullBackOff" in failed.out.splitlines()[-1]
    assert f"default/Deployment/{prefix}frontend" in site.good("events", "--type", "error")
    assert NOWHERE in site.good("diff")
    assert "rollback succeeded" in site.good("rollback")
    assert NOWHERE not in site.good("parameters", "get")
    assert site.good("diff", "3", "--against", "1") == "From release 1 to release 3:\n"


def test_status_names_what_is_wrong_and_how_it_came(site: Site, prefix: str, tmp_path: Path) -> None:
    assert site.good("status").splitlines()[1].split() == ["api-service", "not", "deployed", "default"]
    site.good("up", "frontend")
    assert "healthy" in site.good("status", "frontend")
    site.good("parameters", "patch", "--file", broken(tmp_path))
    site.command("update", "frontend")
    ill = site.command("status", "frontend")
    assert ill.status == 1
    pod = next(line for line in ill.out.splitlines() if "/Pod/" in line and "healthy " not in line)
    assert f"default/Pod/{prefix}frontend-" in pod
    assert "ImagePullBackOff" in pod
    assert "  failed; last reconciled " in ill.out
    both = json.loads(site.command("status", "frontend", "--json").out)
    assert (both["service"]["name"], both["state"]["state"]) == ("frontend", "failed")
    assert site.command("status", "frontnd").status == 1
    assert site.good("pause", "frontend", "--why", "a test")
    assert "paused by local" in site.command("status", "frontend").out
    assert site.good("resume", "frontend")


def test_requirements_are_listed_with_what_was_found(site: Site) -> None:
    heading, first, *_ = site.good("requirements").splitlines()
    assert heading.split() == ["REQUIREMENT", "STATUS", "FOUND"]
    assert first.split()[:3] == ["Kubernetes", "Version", "pass"]


def test_down_shows_what_goes_and_does_nothing_unasked(site: Site, prefix: str) -> None:
    site.good("up", "frontend", "redis-master")
    refused = site.command("down", "frontend")
    assert refused.status == 2
    assert f"- default/Deployment/{prefix}frontend  delete" in refused.err
    assert refused.err.endswith("say --yes\n")
    assert site.command("down").status == 2
    assert site.command("down", "--all", "frontend").status == 2
    assert summary(site, "frontend") == {"unchanged": 2}
    assert "Plan: 2 to delete." in site.good("down", "frontend", "--dry-run")
    assert "down succeeded" in site.good("down", "frontend", "--yes")
    assert summary(site, "frontend", "redis-master") == {"create": 2, "unchanged": 2}
    site.good("down", "--all", "--yes")
    assert summary(site, "redis-master") == {"create": 2}


def test_programs_get_json_on_the_standard_output_and_nothing_else(site: Site, tmp_path: Path) -> None:
    done = json.loads(site.good("up", "web-app", "--json"))
    assert (done["state"], done["services"]) == ("succeeded", ["web-app"])
    site.good("parameters", "patch", "--file", broken(tmp_path))
    failed = site.command("up", "frontend", "--json")
    assert failed.status == 1
    assert json.loads(failed.out)["failure"]["error"] == "ImagePullBackOff"
    assert json.loads(site.good("up", "web-app", "--dry-run", "--json"))["summary"] == {"unchanged": 1}


def test_operation_that_nobody_waits_for_is_looked_up_followed_and_cancelled(site: Site) -> None:
    started = site.good("up", "redis-master", "--no-wait").strip()
    assert "up succeeded" in site.good("operation", "follow", started)
    assert json.loads(site.good("operation", "show", started))["state"] == "succeeded"
    assert site.good("operation", "list").splitlines()[1].split()[:3] == [started, "up", "succeeded"]
    assert started in site.good("operation", "cancel", started)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("up", "frontnd"), "did you mean frontend?"),
        (("rollback", "77", "--yes"), "release 77 is not kept"),
        (("rollback", "--yes"), "no earlier release"),
        (("diff",), "nothing was released yet"),
        (("operation", "show", "op_x"), "There is no operation op_x"),
        (("up", "--deadline", "soon"), "is no duration"),
        (("up", "--instance", "No Such"), "cannot be an instance"),
        (("up", "--instance", "other"), "There is no instance other"),
    ],
)
def test_wrong_input_is_told_and_changes_nothing(site: Site, words: tuple[str, ...], says: str) -> None:
    said = site.command(*words)
    assert said.status in (1, 2)
    assert says in said.err
    assert json.loads(site.good("history", "--json"))["releases"] == []
    assert json.loads(site.good("operation", "list", "--json"))["operations"] == []


def test_faults_of_manifests_are_listed_with_file_and_line(site: Site) -> None:
    file = site.folder / "guestbook" / "frontend" / "broken.yaml"
    file.write_text("a: {{ global.nmespace }}\n")
    try:
        said = site.command("up", "frontend")
        assert said.status == 1
        assert "frontend/broken.yaml:1: global.nmespace is not set" in said.err
        assert site.command("up", "web-app").status == 0
    finally:
        file.unlink()


def test_parameters_are_set_checked_explained_and_restored(site: Site, tmp_path: Path) -> None:
    before = site.good("parameters", "get")
    document = yaml.safe_load(before)
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps(document | {"services": {"redis": {"replicas": 5}, "rdis": {}}}))
    checked = site.command("parameters", "validate", str(file))
    assert (checked.status, checked.out) == (0, "valid\n")
    assert "services.rdis is no service or group; did you mean redis?" in checked.err
    etag = site.command("parameters", "get", "--etag").err.strip()
    site.good("parameters", "set", str(file), "--if-match", etag, "--why", "five")
    late = site.command("parameters", "set", str(file), "--if-match", etag)
    assert late.status == 1
    assert "412 precondition_failed" in late.err
    assert json.loads(site.good("parameters", "get", "redis-slave", "--json"))["replicas"] == 5
    heading, newest, *_ = site.good("parameters", "history").splitlines()
    assert heading.split() == ["VERSION", "ACTION", "AT", "BY", "WHY"]
    assert newest.split()[:2] == ["3", "replaced"]
    assert newest.endswith("five")
    assert '    + services.redis: {"replicas": 5}' in site.good("parameters", "show", "3").splitlines()
    site.good("parameters", "restore", "2")
    assert site.good("parameters", "get") == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("patch", "global.replicas=many"), "global.replicas: "),
        (("patch",), "give either NAME=VALUE or --file"),
        (("patch", "a=1", "--file", "-"), "give either NAME=VALUE or --file"),
        (("set", "-"), "one object with `global` and `services` is expected"),
        (("set", "/nonexistent"), "No such file"),
        (("restore", "99"), "has no version 99"),
        (("get", "frontnd"), "did you mean frontend?"),
    ],
)
def test_wrong_parameters_are_told_and_nothing_is_stored(
    site: Site, words: tuple[str, ...], says: str
) -> None:
    said = site.command("parameters", *words, value="[1]")
    assert said.status in (1, 2)
    assert says in said.err
    assert len(json.loads(site.good("parameters", "history", "--json"))["versions"]) == 2


def test_definition_is_printed_without_a_server(tmp_path: Path) -> None:
    nowhere = Site(tmp_path, Server(tmp_path))
    assert "deploymentparameters.conductor.io" in nowhere.good("parameters", "definition")


def never_ready(site: Site, tmp_path: Path) -> None:
    """Let the frontend never get ready."""
    path = tmp_path / "slow.json"
    slow = {"services": {"frontend": {"annotations": {"sandbox.stellwerk.dev/fail": "probe"}}}}
    path.write_text(json.dumps(slow))
    site.good("parameters", "patch", "--file", str(path))


def test_who_stops_looking_is_told_how_to_look_again(site: Site, tmp_path: Path) -> None:
    never_ready(site, tmp_path)
    following = site.background("up", "frontend", "--deadline", "60s")
    assert following.stdout is not None
    following.stdout.readline()
    following.send_signal(signal.SIGINT)
    told, _ = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "the operation goes on" in told
    (going,) = json.loads(site.good("operation", "list", "--json"))["operations"]
    assert f"stellwerk operation cancel {going['id']}" in told
    assert going["state"] in ("running", "waiting")
    site.good("operation", "cancel", going["id"])


# Last: the sandbox of a server that starts again is empty.
def test_server_that_starts_again_is_waited_for(site: Site, tmp_path: Path) -> None:
    never_ready(site, tmp_path)
    started = site.good("up", "frontend", "--deadline", "60s", "--no-wait").strip()
    following = site.background("operation", "follow", started)
    assert following.stdout is not None
    following.stdout.readline()
    site.server.stop()
    site.server.start(limit_s=90)
    site.good("operation", "cancel", started)
    told, _ = following.communicate(timeout=60)
    assert following.returncode == 1
    assert "up cancelled" in told
