"""`python -m bench.scenarios [--only NAME]… [--variants N] [--at-once N] [--record FOLDER] [--write]`.

`--again FOLDER` needs no cluster: what `--record` kept is concluded anew.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from bench.scenarios.report import document, line
from bench.scenarios.running import conclude_again, run_all
from bench.scenarios.scenario import load_all
from bench.scenarios.scoring import Score
from bench.scenarios.variants import variant
from stellwerk.release.clusters.kubernetes.kubeconfig import from_kubeconfig
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster

RESULTS = Path(__file__).parents[1] / "scenarios.md"
MARK = "<!-- what follows is written by `python -m bench.scenarios --write` -->\n\n"
"""Above it stands how it was measured."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scenarios", description=__doc__)
    parser.add_argument("--only", action="append", help="a scenario or a class; repeatable")
    parser.add_argument("--variants", type=int, default=1, help="seeds from 0 on; 0 is as it is written")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--crowd", type=int, default=0, help="pods that nobody starts, in every namespace")
    parser.add_argument("--at-once", type=int, default=5, help="scenarios that run at the same time")
    parser.add_argument("--record", type=Path, help="folder in which the bundles are kept")
    parser.add_argument(
        "--again", type=Path, help="conclude from the bundles of this folder instead of running"
    )
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULTS.name}")
    return parser.parse_args()


async def main() -> int:
    """Run. Returns 1 if a fault could not be made; a wrong answer is a result."""
    asked = arguments()
    only = set(asked.only or [])
    chosen = [one for one in load_all() if not only or {one.name, one.fault_class} & only]
    seeds = range(asked.first, asked.first + asked.variants)
    variants = [variant(one, seed, asked.crowd) for seed in seeds for one in chosen]
    if asked.again:
        scores = conclude_again(asked.again, chosen)
    else:
        cluster = KubernetesCluster(from_kubeconfig(os.environ["KUBECONFIG"]))
        try:
            scores = await run_all(cluster, variants, at_once=asked.at_once, told=_tell, keep=asked.record)
        finally:
            await cluster.close()
    text = document(scores)
    print(text)
    if asked.write:
        RESULTS.write_text(RESULTS.read_text().partition(MARK)[0] + MARK + text)
    return 1 if any(one.failed for one in scores) else 0


def _tell(found: Score) -> None:
    print(line(found), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
