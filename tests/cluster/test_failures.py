"""Twelve things that really fail, over HTTP: each has its own reason in the answer and in the events."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Body, Key, key_of
from support import kube
from support.kube_access import token_of, with_token
from support.kube_policies import serving_policies, webhook
from support.plane import Answer
from support.shop import Shop, open_shop
from support.watching import until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FRONT = "Deployment/web"


def text(*bodies: Body) -> str:
    """Write manifests; JSON is YAML."""
    return "\n---\n".join(msgspec.json.encode(one).decode() for one in bodies)


def opened(folder: Path, kubeconfig: Path | str, namespace: str) -> AbstractAsyncContextManager[Shop]:
    real = {"cluster": None, "kubeconfig": str(kubeconfig)}
    files = {"stellwerk.yaml": "name: shop\n", "web/_": ""}
    return open_shop(folder, files=files, namespace=namespace, patience_s=120.0, **real)


@pytest.fixture
async def shop(tmp_path: Path, kubeconfig: Path, namespace: str) -> AsyncIterator[Shop]:
    """An application with one service, of which each test writes the manifests."""
    async with opened(tmp_path, kubeconfig, namespace) as shop:
        yield shop


async def up(shop: Shop, *bodies: Body, **choices: Any) -> Answer:
    shop.write({"web/objects.yaml": text(*bodies)})
    return await shop.up("web", **choices)


def failure(answer: Answer) -> Mapping[str, str]:
    """What the answer says, in the shape of the document."""
    assert (answer.status, answer.body["error"]) == (500, "reconciliation_error"), answer
    assert answer.body["message"] == "Deployment failed"
    details: Mapping[str, str] = answer.body["details"]
    return details


async def errors_of(shop: Shop, resource: str) -> list[dict[str, Any]]:
    found = await shop.api.get(f"/api/events/{shop.namespace}/{resource}")
    return [one for one in found if one["type"] == "error"]


def words(event: Mapping[str, Any]) -> str:
    return f"{event.get('error')} {event['message']}"


async def in_events(shop: Shop, resource: str, reason: str) -> None:
    """The events of the object, and the errors of all, tell the same reason."""

    async def told() -> bool:
        return any(reason in words(one) for one in await errors_of(shop, resource))

    await until(told, lambda: f"no event of {resource} tells {reason}")
    errors = await shop.api.get("/api/events/errors")
    assert any(reason in words(one) for one in errors)


async def failed_by(shop: Shop, reason: str, *bodies: Body, **choices: Any) -> Mapping[str, str]:
    """Deploy what cannot work; the answer and the events have this reason."""
    details = failure(await up(shop, *bodies, **choices))
    assert (details["resource"], details["error"]) == (f"{shop.namespace}/{FRONT}", reason)
    await in_events(shop, FRONT, reason)
    health = (await shop.api.get("/api/services/health"))["services"]
    assert [one["status"] for one in health] == ["unhealthy"]
    return details


async def test_an_image_that_cannot_be_pulled(shop: Shop, namespace: str) -> None:
    image = "127.0.0.1:9/absent:1"
    details = await failed_by(shop, "ImagePullBackOff", kube.deployment(namespace, image=image))
    assert image in details["message"]


async def test_a_crash_with_its_exit_code_and_its_last_line(shop: Shop, namespace: str) -> None:
    command = ["sh", "-c", "echo starting; echo no database; exit 3"]
    never = {"exec": {"command": ["false"]}}  # else it may be well for a moment, before it ends
    workload = kube.deployment(namespace, command=command, readinessProbe=never)
    details = await failed_by(shop, "CrashLoopBackOff", workload)
    assert "exit code 3" in details["message"]
    assert details["message"].endswith("last line: no database")


async def test_a_container_that_takes_too_much_memory(shop: Shop, namespace: str) -> None:
    command = ["sh", "-c", "x=a; while true; do x=$x$x; done"]
    limits = {"limits": {"memory": "24Mi"}, "requests": {"memory": "8Mi"}}
    never = {"exec": {"command": ["false"]}}  # else it may be well for a moment, before it has taken enough
    workload = kube.deployment(namespace, command=command, resources=limits, readinessProbe=never)
    await failed_by(shop, "OOMKilled", workload)


async def test_a_readiness_probe_that_fails_until_the_deadline(shop: Shop, namespace: str) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    workload = kube.deployment(namespace, readinessProbe=probe)
    answer = await up(shop, workload, deadlineSeconds=40)
    details = failure(answer)
    events = await shop.cluster.list(Kind("Event"), namespace=namespace)
    if not any(one.get("reason") == "Unhealthy" for one in events):
        pytest.skip("the kubelet of a busy node dropped its events, and nothing else tells of probes")
    assert (details["resource"], details["error"]) == (f"{namespace}/{FRONT}", "ProbeFailed")
    assert "not healthy within 40 s" in details["message"]
    await in_events(shop, FRONT, "ProbeFailed")


async def test_a_config_map_that_is_not_there(shop: Shop, namespace: str) -> None:
    source = {"envFrom": [{"configMapRef": {"name": "absent"}}]}
    details = await failed_by(shop, "MissingConfigMap", kube.deployment(namespace, **source))
    assert "absent" in details["message"]


async def test_a_pod_that_fits_on_no_node(shop: Shop, namespace: str) -> None:
    resources = {"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}
    await failed_by(shop, "Unschedulable", kube.deployment(namespace, resources=resources))


async def test_a_quota_that_is_used_up(shop: Shop, namespace: str) -> None:
    quota: Body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    await shop.cluster.apply(quota, manager=kube.MANAGER)
    await kube.until_quota_counts(shop.cluster, quota)
    await failed_by(shop, "QuotaExceeded", kube.deployment(namespace))


async def test_what_the_server_may_not_do(
    tmp_path: Path, kubeconfig: Path, cluster: KubernetesCluster, namespace: str
) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]
    token = await token_of(cluster, namespace, rules)
    limited = with_token(kubeconfig, token, tmp_path / "config")
    async with opened(tmp_path, limited, namespace) as shop:
        details = failure(await up(shop, kube.config_map(namespace), kube.deployment(namespace)))
        assert details["resource"] == f"{namespace}/{FRONT}"
        assert "cannot" in details["error"]
        assert "forbidden" in (details["error"] + details["message"]).lower()
        await in_events(shop, FRONT, "forbidden")
    assert await cluster.get(Key(namespace, "Deployment", "web", "apps")) is None


async def test_a_field_that_cannot_be_changed(shop: Shop, namespace: str) -> None:
    workload = kube.deployment(namespace)
    assert (await up(shop, workload)).status == 200
    key = key_of(workload)
    before = await shop.cluster.get(key)
    workload["spec"]["selector"]["matchLabels"]["app"] = "other"
    workload["spec"]["template"]["metadata"]["labels"]["app"] = "other"
    details = failure(await up(shop, workload))
    assert details["resource"] == f"{namespace}/{FRONT}"
    assert "immutable" in details["error"]
    await in_events(shop, FRONT, "immutable")
    after = await shop.cluster.get(key)
    assert before is not None
    assert after is not None
    assert after["spec"] == before["spec"]


async def test_a_field_that_somebody_else_set(shop: Shop, namespace: str) -> None:
    workload = kube.deployment(namespace)
    assert (await up(shop, workload)).status == 200
    await shop.cluster.patch(key_of(workload), {"spec": {"replicas": 0}}, manager="kubectl-scale")
    details = failure(await up(shop, kube.deployment(namespace, replicas=2)))
    assert details["resource"] == f"{namespace}/{FRONT}"
    assert ".spec.replicas" in details["error"]
    assert "kubectl-scale" in details["error"]
    await in_events(shop, FRONT, "kubectl-scale")
    answer = await up(shop, kube.deployment(namespace, replicas=2), force=True)
    assert answer.status == 200, answer


async def test_a_kind_that_is_not_defined(shop: Shop, namespace: str) -> None:
    widget: Body = {
        "apiVersion": "absent.stellwerk.test/v1",
        "kind": "Widget",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {},
    }
    details = failure(await up(shop, kube.config_map(namespace), widget))
    assert details["resource"] == f"{namespace}/Widget/one"
    assert "definition" in details["error"]
    await in_events(shop, "Widget/one", "no kind")
    assert await shop.cluster.get(key_of(kube.config_map(namespace))) is None


async def test_a_webhook_that_refuses(
    shop: Shop, cluster: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    async with serving_policies(tmp_path) as (address, bundle):
        hook = webhook(namespace, address + "/deny", bundle)
        labels = {"metadata": {"labels": {"tested-by": namespace}}}
        await cluster.patch(Key("", "Namespace", namespace), labels, manager=kube.MANAGER)
        await cluster.apply(hook, manager=kube.MANAGER)
        try:
            details = failure(await _until_refused(shop, namespace))
        finally:
            await cluster.delete(key_of(hook))
    assert "denied the request: say who owns it" in details["error"]
    kind, name = details["resource"].split("/")[1:]
    await in_events(shop, f"{kind}/{name}", "say who owns it")


async def _until_refused(shop: Shop, namespace: str) -> Answer:
    """Deploy new objects until the cluster counts in its new policy, which takes a second or so."""
    for number in range(60):
        answer = await up(shop, kube.config_map(namespace, f"c{number}"))
        if answer.status != 200:
            return answer
    raise AssertionError("nothing was refused")
