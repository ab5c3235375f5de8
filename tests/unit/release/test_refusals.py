"""Answers of API servers mean what their sentences say."""

import msgspec
import pytest

from stellwerk.release.clusters.errors import ClusterUnavailable, Conflict, Gone, OwnedField, Refused
from stellwerk.release.clusters.kubernetes.refusals import failure_of, is_temporary

STATEFUL_SET = (
    'StatefulSet.apps "db" is invalid: spec: Forbidden: updates to statefulset spec for fields other than '
    "'replicas', 'template', and 'updateStrategy' are forbidden"
)


def answer(message: str, **more: object) -> bytes:
    return msgspec.json.encode({"kind": "Status", "apiVersion": "v1", "message": message, **more})


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (
            403,
            'pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1',
            "quota",
        ),
        (
            403,
            'configmaps "a" is forbidden: User "ci" cannot patch resource "configmaps" in API group ""',
            "forbidden",
        ),
        (
            403,
            'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group ""',
            "forbidden",
        ),
        (403, 'pods "a" is forbidden: violates PodSecurity "restricted:latest": privileged', "admission"),
        (403, 'pods "a" is forbidden: maximum cpu usage per Container is 1, but limit is 2', "admission"),
        (400, 'admission webhook "policy.example" denied the request: no owner', "webhook"),
        (500, 'Internal error occurred: failed calling webhook "policy.example": timeout', "webhook"),
        (
            403,
            "unable to create new content in namespace a because it is being terminated",
            "namespace_terminating",
        ),
        (
            422,
            'Deployment.apps "a" is invalid: spec.selector: Invalid value: {}: field is immutable',
            "immutable",
        ),
        (422, STATEFUL_SET, "immutable"),
        (422, 'RoleBinding "a" is invalid: roleRef: Invalid value: {}: cannot change roleRef', "immutable"),
        (422, 'Deployment.apps "a" is invalid: spec.replicas: Invalid value: -1', "invalid"),
        (401, "Unauthorized", "unauthorized"),
        (413, "Request entity too large: limit is 3145728", "too_large"),
        (409, "Operation cannot be fulfilled: the object has been modified", "raced"),
    ],
)
def test_a_refusal_is_told_by_its_sentence(status: int, message: str, reason: str) -> None:
    failure = failure_of(status, answer(message), "a/ConfigMap/b")

    assert isinstance(failure, Refused)
    assert (failure.reason, failure.message, failure.status) == (reason, message, status)


def test_a_conflict_names_each_owner_and_field() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "helm" using v1', "field": ".data.a"},
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "ops" with subresource "scale"',
            "field": ".b",
        },
    ]

    failure = failure_of(409, answer("Apply failed", details={"causes": causes}), "a/ConfigMap/b")

    assert isinstance(failure, Conflict)
    assert failure.fields == (OwnedField("helm", ".data.a"), OwnedField("ops", ".b"))


def test_overload_and_breakdown_are_temporary() -> None:
    busy = failure_of(429, b"too many requests", "a", retry_after_s=7.0)
    broken = failure_of(500, answer("etcdserver: request timed out"), "a")
    proxied = failure_of(502, b"<html>bad gateway</html>", "a")

    assert isinstance(busy, ClusterUnavailable)
    assert busy.retry_after_s == 7.0
    assert isinstance(broken, ClusterUnavailable)
    assert "etcdserver" in broken.detail
    assert isinstance(proxied, ClusterUnavailable)


def test_a_missing_object_is_told_from_a_missing_namespace() -> None:
    assert isinstance(failure_of(404, answer("not found", details={"kind": "configmaps"}), "a"), Gone)
    assert isinstance(failure_of(404, b"404 page not found", "a"), Gone)
    missing = failure_of(404, answer('namespaces "x" not found', details={"kind": "namespaces"}), "a")
    assert isinstance(missing, Refused)
    assert missing.reason == "namespace_missing"


def test_a_text_that_is_no_object_of_its_kind_stays_refused() -> None:
    message = "failed to create typed patch object: .spec.replicass: field not declared in schema"
    body = msgspec.json.encode({"kind": "Status", "message": message, "code": 500})
    found = failure_of(500, body, "shop/Deployment/web")
    assert isinstance(found, Refused)
    assert (found.reason, found.message) == ("invalid", message)
    assert not is_temporary(500, body)
    assert is_temporary(500, b"{}")
