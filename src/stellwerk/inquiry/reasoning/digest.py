"""What is known before the model is asked, on a page: short, so that small models can read it."""

from collections.abc import Iterable

from stellwerk.inquiry.evidence.fencing import fence
from stellwerk.inquiry.evidence.masking import mask_text
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.model import Bundle, Conclusion

LONGEST = 6_000
"""Characters of the page: about 1,500 tokens."""
LONGEST_LINE = 300
MOST_FINDINGS = 12
MOST_EVIDENCE = 25
MOST_NAMES = 40
MOST_CHANGES = 5


def digest(bundle: Bundle, conclusion: Conclusion, boundary: str) -> str:
    """Write the page; whatever comes from the cluster or the request is inside of the fence."""
    text = "\n".join(line[:LONGEST_LINE] for line in _lines(bundle, conclusion))
    return fence(text[:LONGEST], boundary)


def _lines(bundle: Bundle, conclusion: Conclusion) -> Iterable[str]:
    target = bundle.target
    yield f"target: {target.object}"
    if target.signal or target.message:
        yield f"alert: {_line(f'{target.signal}: {target.message}')}"
    yield f"result of the rules: {conclusion.outcome.value}: {_line(conclusion.summary)}"
    for one in conclusion.root_objects:
        yield f"proven root: {one}"
    for found in conclusion.findings[:MOST_FINDINGS]:
        ids = ", ".join(found.evidence[:4])
        yield f"finding {found.code} on {found.object}: {_line(found.summary)} [{ids}]"
    for seen in conclusion.evidence[:MOST_EVIDENCE]:
        yield f"{seen.id} ({seen.source}, {seen.object}): {_line(seen.excerpt)}"
    for change in bundle.changes[-MOST_CHANGES:]:
        yield f"change of {change.object} by {change.by}: {_line(change.what)}"
    for missing in conclusion.missing[:5]:
        yield f"not known: {_line(missing)}"
    names = [str(ref_of(body)) for body in bundle.objects if body.get("kind") in _NAMED]
    yield f"objects around: {', '.join(dict.fromkeys(names[:MOST_NAMES]))}"


def _line(text: str) -> str:
    return " ".join(mask_text(text).split())


_NAMED = frozenset(
    {
        "Pod",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "Service",
        "ConfigMap",
        "Ingress",
        "Node",
    }
)
