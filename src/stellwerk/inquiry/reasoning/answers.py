"""The two answers that are asked for, and how they are read from what a model wrote."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stellwerk.inquiry.model import ObjectRef
from stellwerk.inquiry.reasoning.conversation import ToolSpec
from stellwerk.inquiry.reasoning.parsing import as_object, list_of, share_of, text_of

MOST_ITEMS = 8
"""Claims, hypotheses and roots that are kept."""
NONE = "none"
_IDS = re.compile(r"\be\d{1,4}\b")
_HEALTHY = frozenset({"healthy", "not_actionable", "resolved", "no_fault", "problem_resolved"})
_UNKNOWN = frozenset({"unknown", "inconclusive", "insufficient_data"})

_ID_LIST = {"type": "array", "items": {"type": "string"}}
SUBMIT_CAUSE = ToolSpec(
    "submit_result",
    "Give your answer. Call it once, at the end.",
    {
        "type": "object",
        "properties": {
            "summary": {"type": "string", "description": "the root cause in one sentence"},
            "outcome": {"type": "string", "enum": ["cause_found", "healthy", "unknown"]},
            "root_objects": {
                "type": "array",
                "items": {"type": "string"},
                "description": "objects that have to be changed, as Kind/name",
            },
            "cause": {"type": "string", "description": "code of the finding that is the cause, or empty"},
            "confidence": {"type": "number"},
            "claims": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"claim": {"type": "string"}, "evidence": _ID_LIST},
                    "required": ["claim", "evidence"],
                },
                "description": "steps from what was noticed to the root, each with evidence ids",
            },
            "hypotheses": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "summary": {"type": "string"},
                        "likelihood": {"type": "number"},
                        "evidence": _ID_LIST,
                    },
                    "required": ["summary"],
                },
                "description": "other causes that you considered",
            },
        },
        "required": ["summary", "outcome"],
    },
)


def submit_remedy(workflow_ids: Sequence[str]) -> ToolSpec:
    """Ask for one of these workflows, or none."""
    return ToolSpec(
        "submit_remedy",
        "Choose the remedy. Call it once.",
        {
            "type": "object",
            "properties": {
                "workflow_id": {"type": "string", "enum": [*workflow_ids, NONE]},
                "rationale": {"type": "string"},
            },
            "required": ["workflow_id"],
        },
    )


@dataclass(frozen=True, slots=True)
class CauseAnswer:
    """What the model says, read and not yet judged."""

    summary: str
    outcome: str
    root_objects: tuple[ObjectRef, ...]
    cause: str
    confidence: float
    claims: tuple[tuple[str, tuple[str, ...]], ...]
    hypotheses: tuple[tuple[str, float, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class RemedyAnswer:
    """The workflow that the model names; None for none."""

    workflow_id: str | None
    rationale: str


class Unreadable(ValueError):
    """What the model has to correct."""


def cause_answer(value: Any, namespace: str) -> CauseAnswer:
    """Read an answer; names without a namespace are in `namespace`. Raises Unreadable."""
    found = as_object(value)
    if found is None:
        raise Unreadable("the answer is no JSON object")
    inner = as_object(found.get("root_cause_analysis")) or {}
    found = {**inner, **found}
    summary = text_of(_first(found, "summary", "root_cause", "analysis", "cause_summary"))
    if not summary:
        raise Unreadable("summary is missing: name the root cause in one sentence")
    roots = tuple(_refs(_first(found, "root_objects", "root_object", "remediation_target"), namespace))
    outcome = _outcome(text_of(_first(found, "outcome", "investigation_outcome")), bool(roots))
    if outcome == "cause_found" and not roots:
        raise Unreadable("root_objects is empty: name the object as Kind/name, or set outcome to unknown")
    return CauseAnswer(
        summary=summary,
        outcome=outcome,
        root_objects=roots,
        cause=text_of(found.get("cause"), 100),
        confidence=share_of(found.get("confidence")),
        claims=tuple(_claims(_first(found, "claims", "causal_chain", "chain"))),
        hypotheses=tuple(_hypotheses(_first(found, "hypotheses", "alternative_hypotheses"))),
    )


def remedy_answer(value: Any, workflow_ids: Sequence[str]) -> RemedyAnswer:
    """Read an answer: one of these, or none. Raises Unreadable."""
    found = as_object(value)
    if found is None:
        raise Unreadable("the answer is no JSON object")
    inner = as_object(found.get("selected_workflow")) or {}
    found = {**inner, **found}
    named = text_of(_first(found, "workflow_id", "workflow", "id"), 100)
    rationale = text_of(_first(found, "rationale", "reason", "reasoning"), 500)
    if named.lower() in {"", NONE, "null"}:
        if not named and "workflow_id" not in found:
            raise Unreadable("workflow_id is missing")
        return RemedyAnswer(None, rationale)
    if named not in workflow_ids:
        raise Unreadable(f"there is no workflow {named!r} here; choose of: {', '.join(workflow_ids)}, {NONE}")
    return RemedyAnswer(named, rationale)


def reference(value: Any, namespace: str) -> ObjectRef | None:
    """Read an object's name: `Kind/name`, `Kind/name in namespace`, or its parts."""
    if isinstance(value, str):
        text, _, where = value.strip().partition(" in ")
        parts = [part for part in text.strip().split("/") if part]
        if len(parts) == 3:  # namespace/Kind/name
            where, parts = parts[0], parts[1:]
        if len(parts) != 2:
            return None
        return ObjectRef(_kind(parts[0]), where.strip() or namespace, parts[1])
    found = as_object(value)
    if found is None:
        return None
    kind, name = text_of(found.get("kind"), 100), text_of(found.get("name"), 253)
    if not kind or not name:
        return None
    return ObjectRef(_kind(kind), text_of(found.get("namespace"), 253) or namespace, name)


def _kind(word: str) -> str:
    return word[:1].upper() + word[1:]


def _refs(value: Any, namespace: str) -> list[ObjectRef]:
    found = (reference(one, namespace) for one in list_of(value)[:MOST_ITEMS])
    return list(dict.fromkeys(one for one in found if one is not None))


def _outcome(word: str, has_roots: bool) -> str:
    word = word.lower().replace(" ", "_")
    if word in _HEALTHY:
        return "healthy"
    if word in _UNKNOWN:
        return "unknown"
    return "cause_found" if has_roots or word else "unknown"


def _claims(value: Any) -> list[tuple[str, tuple[str, ...]]]:
    found = []
    for one in list_of(value)[:MOST_ITEMS]:
        parts = {} if isinstance(one, str) else as_object(one) or {}
        text = text_of(
            one if isinstance(one, str) else _first(parts, "claim", "summary", "text", "step"), 500
        )
        if text:
            found.append((text, _ids(parts.get("evidence"), text)))
    return found


def _hypotheses(value: Any) -> list[tuple[str, float, tuple[str, ...]]]:
    found = []
    for one in list_of(value)[:MOST_ITEMS]:
        parts = {} if isinstance(one, str) else as_object(one) or {}
        text = text_of(one if isinstance(one, str) else _first(parts, "summary", "hypothesis", "text"), 500)
        if text:
            likelihood = share_of(_first(parts, "likelihood", "confidence", "probability"))
            found.append((text, likelihood, _ids(parts.get("evidence"), text)))
    return found


def _ids(value: Any, text: str) -> tuple[str, ...]:
    """Return the ids of evidence that are given, or else that the text itself names."""
    given = " ".join(text_of(one, 100) for one in list_of(value))
    return tuple(dict.fromkeys(_IDS.findall(given) or _IDS.findall(text)))


def _first(found: dict[str, Any], *names: str) -> Any:
    return next((found[name] for name in names if found.get(name) not in (None, "", [])), None)
