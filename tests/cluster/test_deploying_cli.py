"""The commands that deploy, against a real server and a real cluster."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.site import Said, Site

# Images fail for good at the second pull, and pods end when a busy node gets to it.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
GUESTBOOK = Path(__file__).parents[2] / "examples" / "guestbook"


class Hand:
    """Somebody at a terminal, with the guestbook in a namespace of the test's own."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, *words: str) -> Said:
        # The fixtures of the cluster belong to an event loop, which goes on meanwhile.
        return await asyncio.to_thread(self._site.command, *words)


@pytest.fixture
async def hand(tmp_path: Path, kubeconfig: Path, namespace: str) -> AsyncIterator[Hand]:
    shutil.copytree(GUESTBOOK / "manifests", tmp_path / "guestbook")
    shutil.copy(GUESTBOOK / "parameters-busybox.yaml", tmp_path / "guestbook" / "parameters.yaml")
    settings = {"conductor__manifests": tmp_path / "guestbook", "conductor__kubeconfig": kubeconfig}
    site = await asyncio.to_thread(Site.start, tmp_path, **settings)
    try:
        hand = Hand(site)
        assert (await hand("parameters", "patch", f"global.namespace={namespace}")).status == 0
        yield hand
    finally:
        await asyncio.to_thread(site.stop)


async def test_guestbook_comes_up_breaks_says_why_and_goes_back(hand: Hand, namespace: str) -> None:
    up = await hand("up")
    assert up.status == 0, up
    assert up.out.splitlines()[-1].startswith("up succeeded: 10 of 10 objects, release 1 (")
    assert (await hand("status")).status == 0
    await hand("parameters", "patch", "services.frontend.image=registry.invalid/frontend")
    planned = await hand("plan", "frontend")
    assert '.image: "localhost/busybox:1" → "registry.invalid/frontend:1"' in planned.out
    broken = await hand("update", "frontend", "--auto-rollback")
    assert broken.status == 1
    assert f"failed    {namespace}/Deployment/frontend  ImagePullBackOff: " in broken.out
    assert "rollback succeeded: 2 of 2 objects, release 3 (" in broken.out.splitlines()[-1]
    kept = json.loads((await hand("plan", "--json")).out)["summary"]
    assert kept == {"unchanged": 10}
    removed = await hand("down", "web-app", "--yes")
    assert "down succeeded: 1 of 1 objects" in removed.out
    assert json.loads((await hand("plan", "--json")).out)["summary"] == {"create": 1, "unchanged": 9}
