"""Only the cluster that a kubeconfig names is taken, with the credentials that it gives."""

import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stellwerk.release.clusters.kubernetes.access import Access, Misconfigured
from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig, in_cluster


def write(path: Path, user: dict[str, Any] | None = None, name: str = "lab", **cluster: Any) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "clusters": [
                    {"name": name, "cluster": {"server": f"https://{name}.example:6443", **cluster}}
                ],
                "users": [{"name": name, "user": user or {}}],
            }
        )
    )
    return path


async def header(access: Access) -> str | None:
    return await access.credentials.authorization()


async def test_the_current_context_is_taken(tmp_path: Path) -> None:
    found = from_kubeconfig(str(write(tmp_path / "c", {"token": "abc"})))

    assert (found.name, found.server) == ("lab", "https://lab.example:6443")
    assert await header(found) == "Bearer abc"


def test_a_context_can_be_named_across_files(tmp_path: Path) -> None:
    files = os.pathsep.join(str(write(tmp_path / name, name=name)) for name in ("one", "two"))

    assert from_kubeconfig(files).name == "one"
    assert from_kubeconfig(files, "two").server == "https://two.example:6443"
    with pytest.raises(Misconfigured, match="no context 'three'"):
        from_kubeconfig(files, "three")


async def test_a_password_is_sent_as_basic(tmp_path: Path) -> None:
    found = from_kubeconfig(str(write(tmp_path / "c", {"username": "ann", "password": "x"})))

    assert await header(found) == f"Basic {base64.b64encode(b'ann:x').decode()}"


async def test_a_token_file_lies_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")

    assert await header(from_kubeconfig(str(write(tmp_path / "c", {"tokenFile": "token"})))) == "Bearer abc"


async def test_a_plugin_gives_a_token(tmp_path: Path) -> None:
    script = (
        "import json, os; asked = json.loads(os.environ['KUBERNETES_EXEC_INFO']);"
        "print(json.dumps({'kind': 'ExecCredential', 'apiVersion': asked['apiVersion'],"
        " 'status': {'token': os.environ['WHO']}}))"
    )
    entry = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", script],
        "env": [{"name": "WHO", "value": "ann"}],
    }

    assert await header(from_kubeconfig(str(write(tmp_path / "c", {"exec": entry})))) == "Bearer ann"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"command": "/absent/plugin", "installHint": "get it"}, "cannot run.*get it"),
        ({"command": sys.executable, "args": ["-c", "raise SystemExit('log in first')"]}, "log in first"),
        ({"command": sys.executable, "args": ["-c", "print('hello')"]}, "no ExecCredential"),
        ({"command": sys.executable, "args": ["-c", "print('{\"status\": {}}')"]}, "no token"),
    ],
)
async def test_a_plugin_that_fails_says_why(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    found = from_kubeconfig(str(write(tmp_path / "c", {"exec": entry})))

    with pytest.raises(Misconfigured, match=said):
        await header(found)


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"server": "lab.example"}, {}, "no server"),
        ({"certificate-authority-data": "%%"}, {}, "certificate-authority"),
        ({"certificate-authority": "absent.pem"}, {}, r"absent\.pem"),
        ({}, {"auth-provider": {"name": "gcp"}}, "exec plugin"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        from_kubeconfig(str(write(tmp_path / "c", user, **cluster)))


@pytest.mark.parametrize("text", ["", "- a list", "{not: [yaml"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)

    with pytest.raises(Misconfigured, match="/c"):
        from_kubeconfig(str(tmp_path / "c"))


def test_no_service_account_is_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="does not run in a pod"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path)
