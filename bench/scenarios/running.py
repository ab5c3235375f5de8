"""Running scenarios: several at once, since they mostly wait, and not more than two cores bear."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec

from bench.scenarios.recording import read, record
from bench.scenarios.scenario import Scenario
from bench.scenarios.scoring import Score, missed, score
from bench.scenarios.staging import NotStaged, clear, stage
from bench.scenarios.told import ToldCluster
from bench.scenarios.variants import Variant
from bench.scenarios.veiled import VeiledCluster
from stellwerk.clock import SystemClock
from stellwerk.inquiry.evidence.collecting import collect
from stellwerk.inquiry.linking.concluding import conclude
from stellwerk.inquiry.model import Budget, ObjectRef, Target
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError

WHOLE_CLUSTER = frozenset({"Node", "PersistentVolume", "StorageClass", "Namespace"})


async def run_all(
    cluster: Cluster,
    variants: Sequence[Variant],
    *,
    at_once: int,
    told: Callable[[Score], None],
    keep: Path | None,
) -> list[Score]:
    """Run variants; each answer is told as it comes."""
    turns, exclusive = (
        asyncio.Semaphore(at_once),
        {one.scenario.exclusive: asyncio.Lock() for one in variants},
    )

    async def one(variant: Variant) -> Score:
        lock = exclusive[variant.scenario.exclusive] if variant.scenario.exclusive else asyncio.Lock()
        async with lock, turns:
            found = await run(cluster, variant, keep)
        told(found)
        return found

    return list(await asyncio.gather(*(one(variant) for variant in variants)))


async def run(cluster: Cluster, variant: Variant, keep: Path | None = None) -> Score:
    """Make one fault, investigate it, score the answer, and clear up."""
    if variant.scenario.objects:
        return await investigate(cast(Cluster, ToldCluster(variant)), variant, keep)
    try:
        await stage(cluster, variant)
        return await investigate(cluster, variant, keep)
    except (NotStaged, ClusterError) as error:
        return missed(variant, str(error))
    finally:
        with suppress(ClusterError):
            await clear(cluster, variant)


async def investigate(cluster: Cluster, variant: Variant, keep: Path | None) -> Score:
    """Investigate the fault as it is now."""
    seen = VeiledCluster(cluster, variant.scenario.denied) if variant.scenario.denied else cluster
    bundle = await collect(seen, target_of(variant), budget=Budget(), clock=SystemClock())
    # What is concluded is what was stored: nothing may be lost on the way.
    bundle = msgspec.json.decode(msgspec.json.encode(bundle), type=type(bundle))
    began = time.perf_counter()
    conclusion = conclude(bundle)
    thought = time.perf_counter() - began
    if keep is not None:
        record(keep, variant, bundle)
    found = score(variant, bundle, conclusion)
    return replace(found, seconds=round(found.seconds + thought, 3))


def conclude_again(folder: Path, scenarios: Sequence[Scenario]) -> list[Score]:
    """Score what was recorded by the rules of now; calls and seconds are those of the collecting."""
    known = {one.name: one for one in scenarios}
    scores = []
    for file in sorted(folder.glob("*.json.gz")):
        recorded = read(file)
        if recorded.scenario in known:
            variant = Variant(
                known[recorded.scenario], recorded.seed, recorded.namespace, dict(recorded.names)
            )
            scores.append(score(variant, recorded.bundle, conclude(recorded.bundle)))
    return scores


def target_of(variant: Variant) -> Target:
    """Return what the signal is about."""
    signal = {name: variant.fill(text) for name, text in variant.scenario.signal.items()}
    namespace = "" if signal["kind"] in WHOLE_CLUSTER else variant.namespace
    return Target(
        object=ObjectRef(signal["kind"], namespace, signal["name"]),
        signal=signal.get("alert", ""),
        message=signal.get("message", ""),
    )
