"""Results of investigations, as lines for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

OUTCOMES: Mapping[str, str] = {
    "workflow_selected": "The cause is known, and there is a remedy.",
    "no_workflow": "The cause is known; no remedy of the catalogue fits.",
    "not_actionable": "Nothing has to be done.",
    "resolved": "It is over.",
    "inconclusive": "What could be seen proves no cause.",
}
WIDE = 160


def result_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Write a result: what it is, the chain with its evidence, what is missing, the remedy."""
    analysis = result["root_cause_analysis"]
    yield f"{OUTCOMES[result['investigation_outcome']]} (confidence {result['confidence']:.0%})"
    yield f"  {result['root_cause']}"
    yield from _chain(analysis["causal_chain"], {one["id"]: one for one in analysis["evidence"]})
    if analysis["root_objects"]:
        yield f"Root: {', '.join(named(one) for one in analysis['root_objects'])}"
    change = analysis["introduced_by"]
    if change is not None:
        release = f", release {change['release']}" if change["release"] is not None else ""
        yield f"Brought by: {change['by']} at {change['at'][:19]}Z{release}: {change['what']}"
    for text in analysis["contributing_factors"]:
        yield f"Also: {text}"
    for text in analysis["missing"]:
        yield f"Not known: {text}"
    yield from _remedy(result["selected_workflow"])


def named(resource: Mapping[str, str]) -> str:
    """Name an object."""
    place = f" in {resource['namespace']}" if resource["namespace"] else ""
    return f"{resource['kind']}/{resource['name']}{place}"


def _chain(chain: Sequence[Mapping[str, Any]], evidence: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for number, step in enumerate(chain):
        arrow = "  " if number == 0 else "  because "
        yield f"{arrow}{named(step['resource'])}: {step['summary']}"
        for name in step["evidence"]:
            one = evidence.get(name)
            if one is not None:
                text = " ".join(one["excerpt"].split())
                yield f"      [{name}, {one['source']}] {text[:WIDE]}{'…' if len(text) > WIDE else ''}"


def _remedy(workflow: Mapping[str, Any] | None) -> Iterator[str]:
    if workflow is None:
        return
    about = f"{workflow['workflow_id']}, {workflow['action_type']}, risk {workflow['risk']}"
    yield f"Remedy: {workflow['name']} ({about})"
    yield f"  {workflow['rationale']}"
