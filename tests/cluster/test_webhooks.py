"""What a cluster's own policies refuse is told with their words."""

import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import Body, Key, key_of
from support.certificates import write_certificate
from support.kube import MANAGER, config_map

pytestmark = pytest.mark.cluster


async def deny(request: web.Request) -> web.Response:
    uid = (await request.json())["request"]["uid"]
    answer = {"uid": uid, "allowed": False, "status": {"message": "say who owns it"}}
    return web.json_response(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
    )


async def fail(_: web.Request) -> web.Response:
    return web.Response(status=500)


@pytest.fixture
async def policies(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The address of a server with a policy that denies and one that fails, and its certificate."""
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    write_certificate(certificate, key, "policy.example")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    application = web.Application()
    application.add_routes([web.post("/deny", deny), web.post("/fail", fail)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}", base64.b64encode(certificate.read_bytes()).decode()
    await runner.cleanup()


def webhook(namespace: str, url: str, bundle: str) -> Body:
    """A policy for the ConfigMaps of one namespace."""
    rule: dict[str, Any] = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps"],
    }
    hook = {
        "name": "policy.example.com",
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"tested-by": namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [hook],
    }


@pytest.mark.parametrize(
    ("path", "said"), [("/deny", "denied the request: say who owns it"), ("/fail", "failed calling webhook")]
)
async def test_a_webhook_refuses_with_its_own_words(
    cluster: KubernetesCluster, namespace: str, policies: tuple[str, str], path: str, said: str
) -> None:
    address, bundle = policies
    hook = webhook(namespace, address + path, bundle)
    await cluster.patch(
        Key("", "Namespace", namespace), {"metadata": {"labels": {"tested-by": namespace}}}, manager=MANAGER
    )
    await cluster.apply(hook, manager=MANAGER)
    try:
        refusal = await until_refused(cluster, namespace)
    finally:
        await cluster.delete(key_of(hook))

    assert refusal.reason == "webhook"
    assert said in refusal.message


async def until_refused(cluster: KubernetesCluster, namespace: str) -> Refused:
    """Make objects until the cluster counts in its new policy, which takes a second or so."""
    for number in range(1000):
        try:
            await cluster.apply(config_map(namespace, f"c{number}"), manager=MANAGER)
        except Refused as refusal:
            return refusal
    raise AssertionError("nothing was refused")
