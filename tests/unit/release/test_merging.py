"""How parameters are laid over each other."""

from pathlib import Path
from typing import Any

import pytest

from stellwerk.release.parameters.differing import Difference, differences
from stellwerk.release.parameters.merging import effective, merge, service_view
from support.application import application, config

DEFAULTS = """
global: {namespace: shop, resources: {requests: {cpu: 100m, memory: 64Mi}}}
services:
  redis-master: {replicas: 1, imageTag: "7"}
  web: {replicas: 3, resources: {requests: {cpu: 200m}}}
"""
FILES = {
    "redis-master/a.yaml": config("a"),
    "redis-slave/a.yaml": config("b"),
    "web/a.yaml": config("c"),
    "stellwerk.yaml": "groups: {redis: [redis-master, redis-slave]}",
    "parameters.yaml": DEFAULTS,
}


@pytest.mark.parametrize(
    ("lower", "upper", "result"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": None}, {}),
        ({"a": 1}, {"a": {"b": {"c": None, "d": 1}}}, {"a": {"b": {"d": 1}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 0}, {"a": 0}),
        ({}, {"a": None}, {}),
    ],
)
def test_mappings_are_merged_and_null_takes_away(
    lower: dict[str, Any], upper: dict[str, Any], result: dict[str, Any]
) -> None:
    before = repr((lower, upper))
    assert merge(lower, upper) == result
    assert repr((lower, upper)) == before


def test_what_names_a_service_beats_what_is_global(tmp_path: Path) -> None:
    app = application(tmp_path, FILES)
    view = service_view(app, {"global": {"replicas": 9, "imageTag": "x"}}, "web")
    assert view == {
        "namespace": "shop",
        "namePrefix": "",
        "replicas": 3,
        "imageTag": "x",
        "resources": {"requests": {"cpu": "200m", "memory": "64Mi"}},
    }


def test_parameters_of_a_group_reach_every_member_and_its_own_win(tmp_path: Path) -> None:
    app = application(tmp_path, FILES)
    spec = {"services": {"redis": {"replicas": 5}, "redis-slave": {"imageTag": "8"}}}
    master, slave = (service_view(app, spec, name) for name in ("redis-master", "redis-slave"))
    assert (master["replicas"], master["imageTag"]) == (5, "7")
    assert (slave["replicas"], slave["imageTag"]) == (5, "8")
    assert service_view(app, spec, "web")["replicas"] == 3
    own = {"services": {"redis": {"replicas": 5}, "redis-master": {"replicas": 2}}}
    assert service_view(app, own, "redis-master")["replicas"] == 2


def test_stored_null_takes_a_default_away(tmp_path: Path) -> None:
    app = application(tmp_path, FILES)
    assert "resources" not in service_view(app, {"services": {"web": {"resources": None}}}, "web")
    assert effective(app, {"global": {"namespace": None}})["global"] == {
        "namePrefix": "",
        "replicas": 1,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }


def test_differences_name_the_path_of_each_value() -> None:
    before = {"global": {"replicas": 1, "x": [1]}, "services": {"redis-master": {"a": True}}}
    after = {"global": {"replicas": 2, "x": [1]}, "services": {"redis-master": {"a": 1, "b": {}}}}
    assert list(differences(before, after)) == [
        Difference("global.replicas", 1, 2),
        Difference("services.redis-master.a", True, 1),
        Difference("services.redis-master.b", None, {}),
    ]
    assert list(differences(before, before)) == []
