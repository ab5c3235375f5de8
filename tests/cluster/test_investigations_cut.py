"""The network to the cluster breaks in the middle of an investigation: it says what it could not see."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from cluster.test_away import over, relay  # noqa: F401  the fixture
from interfaces.incidents.conftest import SESSION, request
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from support.kube import MANAGER, deployment
from support.plane import Caller
from support.relay import Relay
from support.shop import open_shop

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LIMIT_S = 60.0
LONG = random.Random(1).randbytes(100_000).hex()
"""Such as does not become small where the server compresses it."""
MIDDLE = 150_000
"""Bytes after which the network breaks: in the middle of the list of services."""
MOST_TRIES = 400
"""Connections that everything together may try in the meantime, the watches included."""


async def ended(api: Caller, session_id: str) -> Any:
    """Ask for the session as a controller does, until it has ended; every answer has to be one."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            for path in (f"{SESSION}/{session_id}/result", "/api/v1/incident/sessions"):
                assert (await api.call("GET", path)).status in {200, 409}
            shown = await api.get(f"{SESSION}/{session_id}")
            if shown["status"] not in {"pending", "investigating"}:
                return shown
            await asyncio.sleep(0.1)


async def test_cluster_that_goes_in_the_middle_leaves_an_investigation_that_says_what_is_missing(
    tmp_path: Path,
    kubeconfig: Path,
    cluster: KubernetesCluster,
    namespace: str,
    relay: Relay,  # noqa: F811
) -> None:
    for body in (deployment(namespace, "frontend"), *(service(namespace, f"front-{n}") for n in range(3))):
        await cluster.apply(body, manager=MANAGER)
    chosen = {"cluster": None, "kubeconfig": str(over(relay, kubeconfig, tmp_path / "config"))}
    async with open_shop(tmp_path, namespace=namespace, patience_s=60.0, **chosen) as shop:
        api = shop.plane.main
        asked = request(resource_namespace=namespace)
        relay.take_down_after(MIDDLE)
        cut = (await api.post("/api/v1/incident/analyze", asked))["session_id"]
        assert (await ended(api, cut))["status"] == "completed"
        result = await api.get(f"{SESSION}/{cut}/result")
        assert relay.refused
        assert relay.refused < MOST_TRIES
        assert result["investigation_outcome"] == "inconclusive", result
        assert (result["selected_workflow"], result["needs_human_review"]) == (None, True)
        assert any("unavailable" in one for one in result["root_cause_analysis"]["missing"])
        assert (await api.call("GET", "/ready")).status == 200

        relay.mend()
        whole = (await api.post("/api/v1/incident/analyze", asked))["session_id"]
        await ended(api, whole)
        result = await api.get(f"{SESSION}/{whole}/result")
        assert not result["root_cause_analysis"]["missing"], result


def service(namespace: str, name: str) -> dict[str, Any]:
    """A Service that takes long to tell."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": {"example.org/long": LONG}},
        "spec": {"selector": {"app": "frontend"}, "ports": [{"port": 80}]},
    }
