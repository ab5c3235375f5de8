"""`python -m bench [--quick] [--only CASE]… [--output FILE]`: run the cases, print and write the table."""

import argparse
import sys
from pathlib import Path

from bench.cases import CASES
from bench.figures import failed
from bench.measure import Bench
from bench.report import Steal, document, machine

RESULTS = Path(__file__).parent / "RESULTS.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a slice of every case; writes nothing")
    parser.add_argument("--only", action="append", choices=sorted(CASES), help="only this case; repeatable")
    parser.add_argument("--output", type=Path, help="where the table goes; a full run: RESULTS.md")
    return parser.parse_args()


def main() -> int:
    """Run. Returns 1 if a case could not be measured; a missed figure is a result, not a fault."""
    asked = arguments()
    steal = Steal()
    bench = Bench(quick=asked.quick)
    broken = 0
    try:
        for name, case in CASES.items():
            if asked.only and name not in asked.only:
                continue
            try:
                case(bench)
            except Exception as fault:  # one broken case must not hide the figures of the others
                broken += 1
                bench.add(failed(name, f"{type(fault).__name__}: {fault}"))
        text = document(bench.figures, machine(bench.folder, steal), bench.rounds)
    finally:
        bench.close()
    print(text)
    whole = not asked.quick and not asked.only
    output = asked.output or (RESULTS if whole else None)
    if output is not None:
        output.write_text(text)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
