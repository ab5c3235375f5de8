"""Every cluster applies objects as Kubernetes does: fields have owners, what is not said is left alone."""

from typing import Any

import pytest

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Conflict, OwnedField, Refused, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key, key_of
from support.kube import (
    MANAGER,
    config_map,
    definition,
    deployment,
    random_name,
    service,
    until_health,
    until_quota_counts,
)


async def read(cluster: Cluster, body: Body) -> Body:
    found = await cluster.get(key_of(body))
    assert found is not None
    return found


async def test_an_applied_object_is_there(cluster: Cluster, namespace: str) -> None:
    applied = await cluster.apply(config_map(namespace), manager=MANAGER)

    found = await read(cluster, config_map(namespace))
    assert applied.created
    assert applied.changed
    assert found["data"] == {"colour": "red"}
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
    assert found["metadata"]["uid"] == applied.object["metadata"]["uid"]


async def test_the_same_text_again_changes_nothing(cluster: Cluster, namespace: str) -> None:
    first = await cluster.apply(deployment(namespace, replicas=0), manager=MANAGER)
    before = (await cluster.apply(config_map(namespace), manager=MANAGER)).object

    again = await cluster.apply(config_map(namespace), manager=MANAGER, before=before)
    workload = await cluster.apply(deployment(namespace, replicas=0), manager=MANAGER)

    assert not again.created
    assert not again.changed
    assert again.object["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert workload.object["metadata"]["generation"] == first.object["metadata"]["generation"]


async def test_a_changed_value_is_told_as_changed(cluster: Cluster, namespace: str) -> None:
    before = (await cluster.apply(config_map(namespace), manager=MANAGER)).object

    applied = await cluster.apply(
        config_map(namespace, data={"colour": "blue"}), manager=MANAGER, before=before
    )

    assert applied.changed
    assert not applied.created
    assert (await read(cluster, before))["data"] == {"colour": "blue"}


async def test_what_a_manager_no_longer_says_is_removed(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(config_map(namespace, data={"colour": "red", "size": "large"}), manager=MANAGER)

    applied = await cluster.apply(config_map(namespace, data={"size": "large"}), manager=MANAGER)

    assert applied.object["data"] == {"size": "large"}


async def test_what_is_put_into_an_empty_mapping_stays(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(config_map(namespace, data={}), manager=MANAGER)

    applied = await cluster.apply(config_map(namespace, data={"size": "small"}), manager=MANAGER)

    assert applied.object["data"] == {"size": "small"}


async def test_what_another_manager_says_is_left_alone(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(config_map(namespace, data={"theirs": "1"}), manager="other")

    await cluster.apply(config_map(namespace, data={"ours": "2"}), manager=MANAGER)
    applied = await cluster.apply(config_map(namespace, data={"ours": "3"}), manager=MANAGER)

    assert applied.object["data"] == {"theirs": "1", "ours": "3"}


async def test_another_value_for_anothers_field_is_a_conflict_that_changes_nothing(
    cluster: Cluster, namespace: str
) -> None:
    await cluster.apply(config_map(namespace), manager="other")

    with pytest.raises(Conflict) as raised:
        await cluster.apply(config_map(namespace, data={"colour": "blue"}), manager=MANAGER)

    assert raised.value.fields == (OwnedField("other", ".data.colour"),)
    assert (await read(cluster, config_map(namespace)))["data"] == {"colour": "red"}


async def test_force_takes_a_field_from_its_owner(cluster: Cluster, namespace: str) -> None:
    await cluster.apply(config_map(namespace), manager="other")
    blue = config_map(namespace, data={"colour": "blue"})

    await cluster.apply(blue, manager=MANAGER, force=True)

    assert (await read(cluster, blue))["data"] == {"colour": "blue"}
    with pytest.raises(Conflict) as raised:
        await cluster.apply(config_map(namespace), manager="other")
    assert raised.value.fields == (OwnedField(MANAGER, ".data.colour"),)


async def test_the_same_value_for_anothers_field_is_no_conflict(cluster: Cluster, namespace: str) -> None:
    before = (await cluster.apply(config_map(namespace), manager="other")).object

    shared = await cluster.apply(config_map(namespace), manager=MANAGER, before=before)

    assert shared.object["data"] == {"colour": "red"}


async def test_lists_with_keys_are_joined_entry_by_entry(cluster: Cluster, namespace: str) -> None:
    ours, theirs = deployment(namespace, replicas=0), deployment(namespace, replicas=0, name="web")
    theirs["spec"]["template"]["spec"]["containers"][0]["name"] = "beside"
    await cluster.apply(ours, manager=MANAGER)

    await cluster.apply(theirs, manager="other")
    ours["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]
    applied = await cluster.apply(ours, manager=MANAGER)

    containers = applied.object["spec"]["template"]["spec"]["containers"]
    assert {one["name"]: one.get("env") for one in containers} == {
        "main": [{"name": "A", "value": "1"}],
        "beside": None,
    }


async def test_ports_are_known_by_number_and_protocol(cluster: Cluster, namespace: str) -> None:
    body = service(namespace, "web")
    body["spec"]["ports"] = [{"name": "web", "port": 80, "protocol": "TCP"}]
    await cluster.apply(body, manager=MANAGER)
    body["spec"]["ports"] = [
        {"name": "udp", "port": 80, "protocol": "UDP"},
        {"name": "web", "port": 80, "protocol": "TCP", "targetPort": 8080},
    ]

    applied = await cluster.apply(body, manager=MANAGER)

    assert {one["name"]: (one["protocol"], one["targetPort"]) for one in applied.object["spec"]["ports"]} == {
        "udp": ("UDP", 80),
        "web": ("TCP", 8080),
    }


async def test_finalizers_of_several_managers_stand_side_by_side(cluster: Cluster, namespace: str) -> None:
    ours, theirs = (
        config_map(namespace, metadata={"finalizers": [f"example.com/{name}"]}) for name in ("ours", "theirs")
    )
    await cluster.apply(ours, manager=MANAGER)

    both = await cluster.apply(theirs, manager="other")
    left = await cluster.apply(config_map(namespace), manager=MANAGER)

    assert sorted(both.object["metadata"]["finalizers"]) == ["example.com/ours", "example.com/theirs"]
    assert left.object["metadata"]["finalizers"] == ["example.com/theirs"]
    await cluster.apply(config_map(namespace), manager="other")


async def test_what_somebody_patched_belongs_to_them(cluster: Cluster, namespace: str) -> None:
    workload = deployment(namespace, replicas=0)
    await cluster.apply(workload, manager=MANAGER)
    await cluster.patch(
        key_of(workload), {"spec": {"revisionHistoryLimit": 3, "paused": True}}, manager="somebody"
    )
    workload["spec"]["revisionHistoryLimit"] = 5

    with pytest.raises(Conflict) as raised:
        await cluster.apply(workload, manager=MANAGER)

    assert raised.value.fields == (OwnedField("somebody", ".spec.revisionHistoryLimit"),)


async def test_who_set_what_is_shown_on_the_object(cluster: Cluster, namespace: str) -> None:
    applied = await cluster.apply(config_map(namespace), manager=MANAGER)

    (entry,) = applied.object["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == (MANAGER, "Apply")
    assert entry["fieldsV1"]["f:data"] == {"f:colour": {}}


async def test_a_dry_run_answers_what_would_be_and_leaves_nothing(cluster: Cluster, namespace: str) -> None:
    applied = await cluster.apply(config_map(namespace), manager=MANAGER, dry_run=True)

    assert applied.created
    assert applied.object["data"] == {"colour": "red"}
    assert await cluster.get(key_of(config_map(namespace))) is None


async def test_a_dry_run_tells_whether_an_object_would_change(cluster: Cluster, namespace: str) -> None:
    before = (await cluster.apply(config_map(namespace), manager=MANAGER)).object
    blue = config_map(namespace, data={"colour": "blue"})

    same = await cluster.apply(config_map(namespace), manager=MANAGER, dry_run=True, before=before)
    other = await cluster.apply(blue, manager=MANAGER, dry_run=True, before=before)

    assert not same.changed
    assert other.changed
    assert (await read(cluster, before))["metadata"]["resourceVersion"] == before["metadata"][
        "resourceVersion"
    ]


async def test_an_object_that_cannot_be_is_refused(cluster: Cluster, namespace: str) -> None:
    wrong = deployment(namespace)
    wrong["spec"]["selector"] = {"matchLabels": {"app": "another"}}

    with pytest.raises(Refused) as raised:
        await cluster.apply(wrong, manager=MANAGER)

    assert (raised.value.reason, raised.value.status) == ("invalid", 422)
    assert await cluster.get(key_of(wrong)) is None


async def test_a_field_that_cannot_change_is_told_apart(cluster: Cluster, namespace: str) -> None:
    workload = deployment(namespace, replicas=0)
    await cluster.apply(workload, manager=MANAGER)
    labels = {"app": "another"}
    workload["spec"]["selector"] = {"matchLabels": labels}
    workload["spec"]["template"]["metadata"]["labels"] = labels

    with pytest.raises(Refused) as raised:
        await cluster.apply(workload, manager=MANAGER)

    assert raised.value.reason == "immutable"


async def test_a_namespace_that_is_not_there_is_told_apart(cluster: Cluster) -> None:
    with pytest.raises(Refused) as raised:
        await cluster.apply(config_map(random_name()), manager=MANAGER)

    assert (raised.value.reason, raised.value.status) == ("namespace_missing", 404)


async def test_an_object_without_the_namespace_that_it_needs_is_refused(cluster: Cluster) -> None:
    with pytest.raises(Refused) as raised:
        await cluster.apply(config_map(""), manager=MANAGER)

    assert raised.value.reason == "invalid"


async def test_a_kind_that_nobody_serves_is_unknown(cluster: Cluster, namespace: str) -> None:
    unknown: Body = {
        "apiVersion": "shop.example/v1",
        "kind": "Till",
        "metadata": {"name": "one", "namespace": namespace},
    }

    with pytest.raises(UnknownKind) as raised:
        await cluster.apply(unknown, manager=MANAGER)

    assert "Till of shop.example/v1" in str(raised.value)


async def test_a_version_that_nobody_serves_is_unknown_with_those_that_are(
    cluster: Cluster, namespace: str
) -> None:
    old = deployment(namespace) | {"apiVersion": "apps/v1beta1"}

    with pytest.raises(UnknownKind, match="apps/v1"):
        await cluster.apply(old, manager=MANAGER)


async def test_what_belongs_to_the_whole_cluster_needs_no_namespace(cluster: Cluster) -> None:
    role: Body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": random_name()},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }

    await cluster.apply(role, manager=MANAGER)

    try:
        assert (await read(cluster, role))["rules"] == role["rules"]
    finally:
        assert await cluster.delete(key_of(role))


async def test_objects_of_a_kind_that_was_just_defined_can_be_applied(
    cluster: Cluster, namespace: str
) -> None:
    group = f"{random_name()}.example"
    defined = definition(group)
    widget: dict[str, Any] = {
        "apiVersion": f"{group}/v1",
        "kind": "Widget",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"size": 3},
    }

    with pytest.raises(UnknownKind):
        await cluster.resolve(Kind("Widget", group))
    await cluster.apply(defined, manager=MANAGER)
    try:
        await until_health(cluster, defined, lambda one: one.status == "healthy")
        applied = await cluster.apply(widget, manager=MANAGER)

        assert applied.object["spec"] == {"size": 3}
        assert await cluster.get(Key(namespace, "Widget", "one", group)) is not None
    finally:
        await cluster.delete(key_of(defined))


async def test_a_quota_refuses_what_is_beyond_it(cluster: Cluster, namespace: str) -> None:
    quota: Body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": namespace},
        "spec": {"hard": {"count/configmaps": "0"}},
    }
    await cluster.apply(quota, manager=MANAGER)
    await until_quota_counts(cluster, quota)

    with pytest.raises(Refused) as raised:
        await cluster.apply(config_map(namespace), manager=MANAGER)

    assert (raised.value.reason, raised.value.status) == ("quota", 403)
    assert await cluster.get(key_of(config_map(namespace))) is None


async def test_a_service_needs_no_protocol(cluster: Cluster, namespace: str) -> None:
    """An old server refuses what nearly everybody writes."""
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }

    applied = await cluster.apply(body, manager=MANAGER)

    assert applied.object["spec"]["ports"][0]["protocol"] == "TCP"
    assert not (await cluster.apply(body, manager=MANAGER, before=applied.object)).changed
