"""What `deploy/` promises of running the server in a cluster."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stellwerk.inquiry.evidence.reading import KNOWN_KINDS
from stellwerk.release.application.schema import BUILT_IN
from stellwerk.release.parameters.definition import definition
from stellwerk.settings import load_settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
READ = {"get", "list", "watch"}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def rules(name: str) -> list[dict[str, Any]]:
    return [
        rule
        for one in documents("rbac.yaml")
        if one["metadata"]["name"] == name
        for rule in one.get("rules", ())
    ]


def test_definition_is_the_one_that_the_program_prints() -> None:
    assert documents("deploymentparameters.yaml") == [definition(BUILT_IN)]


def test_no_secret_and_nothing_that_gives_more_rights_is_granted() -> None:
    beyond = {
        "secrets",
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "roles",
        "rolebindings",
        "clusterroles",
        "*",
    }
    for rule in (*rules("stellwerk-observer"), *rules("stellwerk-deployer")):
        assert not beyond & {*rule["resources"], *rule["verbs"], *rule["apiGroups"]}
    assert all(set(rule["verbs"]) == READ for rule in rules("stellwerk-observer"))


def test_rights_to_change_are_bound_in_single_namespaces_only() -> None:
    bound = [one["roleRef"]["name"] for one in documents("rbac.yaml") if one["kind"] == "ClusterRoleBinding"]
    assert bound == ["stellwerk-observer"]
    (target,) = documents("target.yaml")
    assert (target["kind"], target["roleRef"]["name"]) == ("RoleBinding", "stellwerk-deployer")


def test_investigator_reads_everything_that_is_looked_at_and_no_secret() -> None:
    role = next(one for one in documents("investigator.yaml") if one["kind"] == "ClusterRole")
    allowed = {name for rule in role["rules"] for name in rule["resources"]}
    plurals = {
        re.sub("(?<=ss)s$", "es", f"{kind.lower()}s").replace("policys", "policies") for kind in KNOWN_KINDS
    }
    plurals = (plurals - {"endpointss"}) | {"endpoints", "pods/log"}
    assert plurals - {"secrets"} == allowed
    assert all(set(rule["verbs"]) == {"get", "list"} for rule in role["rules"])


def test_budget_lets_the_one_replica_be_drained() -> None:
    (budget,) = documents("poddisruptionbudget.yaml")
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]


def test_everything_that_is_listed_is_there() -> None:
    (listed,) = documents("kustomization.yaml")
    assert all((FOLDER / name).is_file() for name in listed["resources"])


def test_settings_of_the_config_map_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = documents("configmap.yaml")
    path = tmp_path / "stellwerk.yaml"
    path.write_text(config["data"]["stellwerk.yaml"])
    settings = load_settings(path, environment={}).settings
    assert settings.conductor.cluster == "in-cluster"
    assert settings.tls.all_listeners
