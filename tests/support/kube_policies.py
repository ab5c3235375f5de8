"""Policies of a cluster that are served from here: webhooks that deny, and that fail."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from stellwerk.release.objects import Body
from support.certificates import write_certificate


async def deny(request: web.Request) -> web.Response:
    uid = (await request.json())["request"]["uid"]
    answer = {"uid": uid, "allowed": False, "status": {"message": "say who owns it"}}
    return web.json_response(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
    )


async def fail(_: web.Request) -> web.Response:
    return web.Response(status=500)


@asynccontextmanager
async def serving_policies(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Serve a policy that denies and one that fails; the address, and its certificate."""
    certificate, key = folder / "certificate", folder / "key"
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
