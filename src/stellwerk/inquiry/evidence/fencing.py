"""Cluster text is untrusted: it is fenced where a model reads it, and what speaks to the reader is marked.

A log line may say *ignore previous instructions*, or hold what looks like our own answer. Nothing of it is
ever followed. Marking does not remove it, since it may be evidence, and a removed line is a lost one. The
patterns are read over hostile lines, so each takes time in proportion to a line's length (see `masking`).
"""

import re
from collections.abc import Iterator

MARK = "[looks like an instruction]"

_PATTERNS = (
    re.compile(
        r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|your)\b.{0,40}"
        r"\b(?:instructions?|prompts?|rules?|context|messages?|guidelines?)\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"^\s*\W{0,3}(?:system|assistant|user|developer)\s{0,8}(?:\(.{0,20}\))?\s{0,8}:\s", re.IGNORECASE
    ),
    re.compile(
        r"<\s{0,8}/?\s{0,8}(?:system|assistant|user|instructions?|tool_(?:call|result)|im_start|im_end)\b",
        re.IGNORECASE,
    ),
    re.compile(r"<\|[^|>]{1,30}\|>"),
    re.compile(r"\b(?:you are now|act as|pretend to be|from now on you|new instructions?)\b", re.IGNORECASE),
    re.compile(
        r"\b(?:select|choose|run|execute|call|use)\b.{0,20}\b(?:workflow|tool|function|remed(?:y|iation))\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"\"(?:workflow_id|root_cause|selected_workflow|remediation_target|tool_calls|root_objects)\"\s*:"
    ),
    re.compile(r"\b(?:the|real|true|actual) root cause is\b", re.IGNORECASE),
    re.compile(r"(?<![=#])(?>={12,}|#{12,}).{0,400}(?:prompt|instruction|system)", re.IGNORECASE),
)


def looks_like_instruction(line: str) -> bool:
    """Whether a line speaks to whoever reads it."""
    return any(pattern.search(line) for pattern in _PATTERNS)


def instructions(text: str) -> Iterator[str]:
    """List the lines of a text that look like instructions."""
    return (line for line in text.splitlines() if looks_like_instruction(line))


def fence(text: str, boundary: str) -> str:
    """Put a text between lines that it cannot contain, its suspicious lines marked.

    `boundary`: a word that was drawn at random for this one reading.
    """
    lines = [f"{MARK} {line}" if looks_like_instruction(line) else line for line in text.splitlines()]
    inside = "\n".join(lines).replace(boundary, "")
    return f"<<{boundary}\n{inside}\n{boundary}>>"
