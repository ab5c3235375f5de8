"""A cluster that only tells: objects and logs of a file, for faults that the lab cannot make."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from bench.scenarios.variants import Variant
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key, group_of, key_of

_AGO = re.compile(r"%-(\d+)s%")


class ToldCluster:
    """Answers reads as a cluster would; `%-60s%` in its file is a minute ago."""

    simulated = True
    name = "told"

    def __init__(self, variant: Variant) -> None:
        now = datetime.now(UTC)
        text = _AGO.sub(
            lambda match: _written(now - timedelta(seconds=int(match[1]))),
            variant.scenario.texts[variant.scenario.objects],
        )
        told: list[dict[str, Any]] = [one for one in yaml.safe_load_all(variant.fill(text)) if one]
        self._objects = [one for one in told if one["kind"] != "Log"]
        self._logs = {
            (one["pod"], one["container"], bool(one.get("previous"))): one["text"]
            for one in told
            if one["kind"] == "Log"
        }

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        """Read all objects of a kind."""
        return [
            body
            for body in self._objects
            if (body["kind"], group_of(body["apiVersion"])) == (kind.kind, kind.group)
            and namespace in {None, body["metadata"].get("namespace", "")}
        ]

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        """Read an object."""
        return next((body for body in self._objects if key_of(body) == key), None)

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 20
    ) -> str:
        """Read a log."""
        return str(self._logs.get((pod, container, previous), ""))


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
