"""Bundles kept as files: what was seen once is concluded again in tests, without a cluster."""

import gzip
from pathlib import Path

import msgspec

from bench.scenarios.variants import Variant
from stellwerk.inquiry.model import Bundle


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle with the names of its variant."""

    scenario: str
    seed: int
    namespace: str
    names: dict[str, str]
    bundle: Bundle


def record(folder: Path, variant: Variant, bundle: Bundle) -> None:
    """Write a bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = Recorded(
        scenario=variant.scenario.name,
        seed=variant.seed,
        namespace=variant.namespace,
        names=variant.names,
        bundle=bundle,
    )
    text = msgspec.json.encode(kept)
    (folder / f"{variant.scenario.name}.{variant.seed}.json.gz").write_bytes(gzip.compress(text, mtime=0))


def read(file: Path) -> Recorded:
    """Read a bundle that was kept."""
    return msgspec.json.decode(gzip.decompress(file.read_bytes()), type=Recorded)
