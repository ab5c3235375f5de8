"""The table: by class, those whose classes were held out apart, beside the baseline."""

from collections.abc import Callable, Sequence
from statistics import median

from bench.scenarios.scoring import Score

BANDS = ((0.9, 1.01), (0.8, 0.9), (0.65, 0.8), (0.5, 0.65))


def line(found: Score) -> str:
    """Say in one line how a run went."""
    if found.failed:
        return f"----  {found.scenario}#{found.seed}: not staged: {found.failed}"
    mark = "ok  " if found.right else "MISS"
    more = "" if found.evidence else " no-evidence"
    more += "" if found.action else " other-action"
    told = "" if found.right else f"\n      said {found.answer}\n      not  {found.expected}"
    cost = f"{found.calls} calls {found.seconds:.2f} s"
    return f"{mark}  {found.scenario}#{found.seed} {found.confidence:.2f} {cost}{more}{told}"


def document(scores: Sequence[Score]) -> str:
    """Return the whole table as Markdown."""
    run = [one for one in scores if not one.failed]
    chosen = [one for one in run if not one.held_out]
    held = [one for one in run if one.held_out]
    parts = [
        _head(scores, run),
        "## By class\n\nRules were chosen by looking at these classes.\n",
        _table(chosen),
        "## Held out\n\nSet apart before the first run: one class of three, by the hash of its name.\n",
        _table(held),
        "## What a confidence is worth\n",
        _bands(run),
        _wrong(run),
    ]
    return "\n".join(part for part in parts if part)


def _head(scores: Sequence[Score], run: Sequence[Score]) -> str:
    controls = [one for one in run if one.fault_class == "controls"]
    calls, seconds = [one.calls for one in run], [one.seconds for one in run]
    lines = (
        [
            f"- {len(run)} runs of {len({one.scenario for one in run})} scenarios; "
            f"{len(scores) - len(run)} could not be staged",
            f"- exact root set and outcome: {_share(run, lambda one: one.right)}; the "
            "baseline, which reports every object with a symptom: "
            f"{_share(run, lambda one: one.baseline)}",
            f"- accusations on controls: {sum(one.accused for one in controls)} of {len(controls)}",
            f"- API calls: median {median(calls):.0f}, most {max(calls)}; seconds: median "
            f"{median(seconds):.2f}, most {max(seconds):.2f}",
        ]
        if run
        else ["- nothing was run"]
    )
    return "\n".join(lines) + "\n"


def _table(scores: Sequence[Score]) -> str:
    rows = [
        "| class | runs | exact roots | outcome | evidence | action | baseline | calls | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    classes = sorted({one.fault_class for one in scores})
    rows += [_row(name, [one for one in scores if one.fault_class == name]) for name in classes]
    if scores:
        rows.append(_row("**all**", scores))
    return "\n".join(rows) + "\n"


def _row(name: str, scores: Sequence[Score]) -> str:
    cells = [
        name,
        str(len(scores)),
        _share(scores, lambda one: one.roots),
        _share(scores, lambda one: one.outcome),
        _share(scores, lambda one: one.evidence),
        _share(scores, lambda one: one.action),
        _share(scores, lambda one: one.baseline),
        f"{median(one.calls for one in scores):.0f}",
        f"{median(one.seconds for one in scores):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _bands(scores: Sequence[Score]) -> str:
    rows = ["| confidence | answers | right |", "|---|---|---|"]
    for low, high in BANDS:
        inside = [one for one in scores if low <= one.confidence < high and one.answer.startswith("cause")]
        if inside:
            rows.append(
                f"| {low:.2f} to {min(high, 1):.2f} | {len(inside)} | "
                f"{_share(inside, lambda one: one.right)} |"
            )
    return "\n".join(rows) + "\n"


def _wrong(scores: Sequence[Score]) -> str:
    wrong = [one for one in scores if not one.right]
    rows = [f"- {one.scenario} (seed {one.seed}): {one.answer}; expected {one.expected}" for one in wrong]
    return "## Wrong answers\n\n" + ("\n".join(rows) or "none") + "\n"


def _share(scores: Sequence[Score], holds: Callable[[Score], bool]) -> str:
    if not scores:
        return "–"
    count = sum(holds(one) for one in scores)
    return f"{count}/{len(scores)} ({100 * count / len(scores):.0f} %)"
